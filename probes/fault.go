package probes

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"
)

// classify tells what an attempt that brought no answer says about the target.
//
// A refused or broken connection is knowledge: the host is there, the process is not. A timeout may be either side's;
// it counts against the target unless captop itself was held up, which shows in the time the attempt took. What the
// local system refuses (no route, no socket, no name) says nothing about the target.
func classify(err error, took, timeout time.Duration) Contact {
	var (
		dns         *net.DNSError
		certificate *tls.CertificateVerificationError
		record      tls.RecordHeaderError
		authority   x509.UnknownAuthorityError
		network     net.Error
	)
	switch {
	case err == nil:
		return Up
	case took > timeout+timeout/2:
		return Blind
	case errors.As(err, &dns):
		return Blind
	case isLocal(err):
		return Blind
	case errors.As(err, &certificate), errors.As(err, &record), errors.As(err, &authority),
		errors.Is(err, http.ErrSchemeMismatch), strings.Contains(err.Error(), "malformed HTTP"):
		return Nonsense
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &network) && network.Timeout():
		return Hung
	}
	return Down
}

// FaultOf is what an error of an attempt within its time says about the target.
func FaultOf(err error) Contact { return classify(err, 0, maxTimeout) }

func isLocal(err error) bool {
	for _, local := range []error{syscall.ENETUNREACH, syscall.ENETDOWN, syscall.EMFILE, syscall.ENFILE,
		syscall.EADDRNOTAVAIL, syscall.EACCES, syscall.EPERM, syscall.ENOBUFS, syscall.ENOMEM} {
		if errors.Is(err, local) {
			return true
		}
	}
	return false
}

// busyReply is how a node answers everybody while a script runs for longer than busy-reply-threshold (5 s).
const busyReply = "BUSY "

// classifyRedis does the same for a node, which also has words of its own.
func classifyRedis(err error, took, timeout time.Duration) Contact {
	text := ""
	if err != nil {
		text = err.Error()
	}
	switch {
	case strings.HasPrefix(text, "NOAUTH"), strings.HasPrefix(text, "WRONGPASS"), strings.HasPrefix(text, "NOPERM"),
		strings.HasPrefix(text, "ERR AUTH"), strings.HasPrefix(text, "DENIED"):
		return Denied
	case strings.HasPrefix(text, "LOADING"):
		return Loading
	case strings.HasPrefix(text, busyReply):
		return Hung
	case strings.HasPrefix(text, "redis: can't parse"), strings.HasPrefix(text, "redis: invalid reply"),
		strings.HasPrefix(text, "ERR"):
		return Nonsense
	}
	return classify(err, took, timeout)
}
