// Package local tells addresses of this machine alone from those that others can reach.
package local

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// Listen says whether nobody but this machine reaches a server that listens at address, host:port. It fails if that
// is no such address. An empty host is every address of the machine; a name other than localhost may be.
func Listen(address string) (bool, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return false, fmt.Errorf("%q is no host:port", address)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return false, fmt.Errorf("%q has no port, a number up to 65535", address)
	}
	return Host(host), nil
}

// Host says whether a host, with or without a port, is this machine's loopback: localhost, or an address of it.
func Host(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}
