package main

import "syscall"

// attributes end the worker when this program ends, and keep the terminal's signals away.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
