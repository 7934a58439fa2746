package pgserver

import "syscall"

// attributes drops root, keeps the terminal's signals away, and ends the server when the thread that made
// it ends, which only happens when the whole process does: see spawn.
func attributes(a *account) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGQUIT}
	if a != nil {
		attr.Credential = &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid)} //nolint:gosec // ids are 32 bits
	}
	return attr
}
