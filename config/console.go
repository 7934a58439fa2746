package config

import (
	"go.yaml.in/yaml/v4"

	"github.com/outflow-db/outflow/internal/local"
)

// console reads where workers are watched, and refuses to let everybody in.
func (r *reader) console(c *Console) map[string]field {
	want := "host:port such as 127.0.0.1:8317, or off"
	listen := convert(r, &c.Listen, want, func(s string) (string, bool) {
		_, err := local.Listen(s)
		return s, s == "off" || err == nil
	})
	user, password := r.text(&c.User, "a name"), r.text(&c.Password, "a password")
	return map[string]field{
		"listen": func(n *yaml.Node, path string) {
			listen(n, path)
			r.later(func() {
				if loopback, err := local.Listen(c.Listen); err == nil && !loopback && c.Password == "" && c.Token == "" {
					r.fail(n, path, "others reach %s: give the console a user and a password, or a token", short(c.Listen))
				}
			})
		},
		"user": func(n *yaml.Node, path string) {
			user(n, path)
			r.later(func() {
				if c.User != "" && c.Password == "" {
					r.fail(n, path, "the password of the user is missing")
				}
			})
		},
		"password": func(n *yaml.Node, path string) {
			password(n, path)
			r.later(func() {
				if c.Password != "" && c.User == "" {
					r.fail(n, path, "the user of the password is missing")
				}
			})
		},
		"token": r.text(&c.Token, "a bearer token"),
	}
}
