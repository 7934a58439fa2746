package child

import "syscall"

// Attributes drops root, keeps the terminal's signals away, and sends the signal when the thread that made
// the process ends, which only happens when the whole process does if it was made by Spawn.
func (a *Account) Attributes(end syscall.Signal) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setpgid: true, Pdeathsig: end}
	if a != nil {
		attr.Credential = &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid)} //nolint:gosec // ids are 32 bits
	}
	return attr
}
