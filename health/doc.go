// Package health says how a store is: healthy, degraded, failing, down or paused, and why.
//
// # The rule
//
// Each process looks at each of its backends every few seconds, at what happened within the last minute (the window):
// how many requests failed, by class of error; how long those took that were answered; what the last probe
// (Backend.Health) said, which has failed when it is not answered within Pace.Late; which endpoints are up. A look has
// a level, the first of these that holds:
//
//	down      the probe failed, or no endpoint is up; and no request of the last quarter of the window was answered
//	failing   the probe failed, or no endpoint is up; or in the last quarter 3 requests or more, and half of them
//	          or more, failed
//	degraded  the probe took longer than Pace.Quick; or 2 requests or more, and a twentieth of them or more, failed;
//	          or the store asked for less (class overload) twice or more; or an endpoint is not up; or the 99th
//	          percentile of 20 requests or more is above 100 ms and above four times what is usual; or the lag is
//	          above a minute and grows
//	healthy   none of these
//
// Requests that failed because of a record (class rejected) are answers. The state follows the level with
// hysteresis: it gets worse when two looks in a row are worse, to the better one of the two, and it gets better when
// three in a row are better, to the worst one of the three. A level that alternates changes nothing. What an operator
// or the engine has paused is paused, at once; afterwards the state begins anew with the first look. What the breaker
// has paused, because no process reaches the store, is down.
//
// All processes together (Merge): down if every process says so; else the worst that one of them says, but no worse
// than failing, because the store can be reached. Processes that have ended or not been heard of for Old do not
// count; without any nothing is known.
package health
