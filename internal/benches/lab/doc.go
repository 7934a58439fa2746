// Package lab is what the benchmarks share: a private PostgreSQL server with honest settings, engines that start
// and stop, stores that count, clocks for processor and memory, and the rows of the report.
//
// A benchmark is a function of a Lab that answers rows. Each one runs in a process and on a server of its own, so
// that the memory and the processor time of the process are those of what is measured, and nothing is left over from
// the one before. Ratios are taken side by side: both contenders in alternating rounds, and the median of the
// rounds' ratios.
package lab
