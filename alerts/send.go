package alerts

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Headers of a message.
const (
	HeaderID        = "Outflow-Message"   // the message's id
	HeaderSignature = "Outflow-Signature" // t=SECONDS,v1=HEX: see Sign
)

// sendTime bounds one delivery.
const sendTime = 10 * time.Second

// Sender delivers messages. It is safe for concurrent use.
type Sender struct{ client *http.Client }

// NewSender makes one. It follows no redirects, because they would carry headers to others.
func NewSender() *Sender {
	return &Sender{&http.Client{
		Timeout:       sendTime,
		Transport:     &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true, TLSHandshakeTimeout: sendTime},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Sign is the value of HeaderSignature: t is the time in seconds, and v1 the HMAC-SHA256, in hexadecimal, of t, a full
// stop and the body. A receiver computes the same, compares it in constant time, and refuses a t that is minutes old.
func Sign(secret string, at time.Time, body []byte) string {
	t := strconv.FormatInt(at.Unix(), 10)
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(t + "."))
	mac.Write(body)
	return "t=" + t + ",v1=" + hex.EncodeToString(mac.Sum(nil))
}

// Send delivers a message once. Every answer but 2xx is an error. Errors do not tell the address, which may be a secret.
func (s *Sender) Send(ctx context.Context, w Webhook, m Message) error {
	if err := s.send(ctx, w, m); err != nil {
		return fmt.Errorf("sending to %s: %w", w, err)
	}
	return nil
}

func (s *Sender) send(ctx context.Context, w Webhook, m Message) error {
	body, err := m.body(w.Format)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, w.URL, bytes.NewReader(body))
	if err != nil {
		return errors.New("its url is none")
	}
	for name, value := range w.Headers {
		r.Header.Set(name, value)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "outflow")
	r.Header.Set(HeaderID, m.ID)
	if w.Secret != "" {
		r.Header.Set(HeaderSignature, Sign(w.Secret, time.Now(), body))
	}
	res, err := s.client.Do(r)
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err
	}
	if err != nil {
		return err
	}
	defer res.Body.Close() //nolint:errcheck // it was only read
	if _, err := io.Copy(io.Discard, io.LimitReader(res.Body, 64<<10)); err != nil {
		return fmt.Errorf("reading the answer: %w", err)
	}
	if res.StatusCode < 200 || res.StatusCode > 299 {
		return fmt.Errorf("it answered %d", res.StatusCode)
	}
	return nil
}
