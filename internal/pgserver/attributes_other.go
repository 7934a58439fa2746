//go:build !linux

package pgserver

import "syscall"

// attributes drops root and keeps the terminal's signals away.
func attributes(a *account) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setpgid: true}
	if a != nil {
		attr.Credential = &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid)} //nolint:gosec // ids are 32 bits
	}
	return attr
}
