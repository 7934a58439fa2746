//go:build !linux

package child

import "syscall"

// Attributes drops root and keeps the terminal's signals away. Nothing tells a process that its parent has
// ended here.
func (a *Account) Attributes(syscall.Signal) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setpgid: true}
	if a != nil {
		attr.Credential = &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid)} //nolint:gosec // ids are 32 bits
	}
	return attr
}
