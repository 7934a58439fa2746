package console

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"strings"

	"github.com/outflow-db/outflow/internal/local"
)

// guarded is a handler behind all that keeps strangers out.
func (c Config) guarded(next http.Handler) http.Handler {
	next = http.NewCrossOriginProtection().Handler(next)
	next = c.known(next)
	if loopback, err := local.Listen(c.Listen); err == nil && loopback {
		next = named(next)
	}
	return headed(next)
}

// known asks for credentials, if there are some. The probes need none.
func (c Config) known(next http.Handler) http.Handler {
	if c.Password == "" && c.Token == "" {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/healthz" || r.URL.Path == "/readyz" || c.proved(r) {
			next.ServeHTTP(w, r)
			return
		}
		if c.Password != "" {
			w.Header().Set("WWW-Authenticate", `Basic realm="Outflow", charset="UTF-8"`)
		}
		http.Error(w, "credentials are missing or wrong", http.StatusUnauthorized)
	})
}

// proved says whether the request carries the credentials. It takes the same time for all wrong ones.
func (c Config) proved(r *http.Request) bool {
	user, password, _ := r.BasicAuth()
	basic := c.Password != "" && same(user, c.User)&same(password, c.Password) == 1
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	bearer := c.Token != "" && strings.EqualFold(scheme, "Bearer") && same(strings.TrimSpace(token), c.Token) == 1
	return basic || bearer
}

// same compares digests, so that neither content nor length shows in the time it takes.
func same(a, b string) int {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:])
}

// named refuses requests whose Host is not this machine's: a web page elsewhere can have a name of its own lead here,
// and would then count as of the same origin.
func named(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !local.Host(r.Host) {
			http.Error(w, "ask for localhost: this console answers to no other name", http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// headed tells browsers to guess nothing, keep nothing and put the pages into no frame.
func headed(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Content-Security-Policy", "frame-ancestors 'none'")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		next.ServeHTTP(w, r)
	})
}
