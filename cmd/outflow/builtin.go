package main

// builtIn is the configuration for those who have none.
var builtIn []byte
