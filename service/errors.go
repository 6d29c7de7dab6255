package service

import "errors"

// Code is the stable name of a refusal: programs match on it, people read Message.
type Code string

// Every refusal of the services has one of these.
const (
	CodeKeyEmpty         Code = "key_empty"          // 400
	CodeKeyTooLong       Code = "key_too_long"       // 414
	CodeKeyInvalid       Code = "key_invalid"        // 400: not UTF-8, or control characters
	CodeValueTooLarge    Code = "value_too_large"    // 413
	CodeBadRequest       Code = "bad_request"        // 400: anything else wrong with the request
	CodeBodyIncomplete   Code = "body_incomplete"    // 400: shorter than its Content-Length
	CodeRequestTimeout   Code = "request_timeout"    // 408: the client was too slow
	CodeHeaderTooLarge   Code = "header_too_large"   // 431
	CodeNotFound         Code = "not_found"          // 404: the key was never written, or no such route
	CodeMethodNotAllowed Code = "method_not_allowed" // 405
	CodeUnauthorized     Code = "unauthorized"       // 401
	CodeForbidden        Code = "forbidden"          // 403: the token's role does not allow it
	CodeRateLimited      Code = "rate_limited"       // 429
	CodeConflict         Code = "conflict"           // 409: another write of the key is in flight and did not end in time
	CodeClockSkew        Code = "clock_skew"         // 503: clocks are further apart than allowed
	CodeNodeUnavailable  Code = "node_unavailable"   // 503: a node that is needed cannot be reached, or refuses
	CodeCircuitOpen      Code = "circuit_open"       // 503: the breaker before a needed node is OPEN
	CodeRejoining        Code = "rejoining"          // 503: a needed node is not settled yet and its peer cannot be asked
	CodeUnknownOutcome   Code = "unknown_outcome"    // 504: the write may have taken effect
	CodeTimeout          Code = "timeout"            // 504: NETWORK_TIMEOUT_SEC was over; see the outcome
	CodeInternal         Code = "internal"           // 500
)

// Error is a refusal: what, why, and whether the write took effect.
type Error struct {
	Code    Code
	Message string  // one sentence for a person: what was wrong, where, what would do
	Outcome Outcome // of the write; "" for reads
	Node    string  // the node at fault, if one is
	Err     error   // the cause, may be nil
}

// Error gives the code, the message and the cause.
func (e *Error) Error() string {
	text := string(e.Code) + ": " + e.Message
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// CodeOf gives the code of the first *Error in err's chain, CodeInternal for any other error, "" for nil.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	var refusal *Error
	if errors.As(err, &refusal) {
		return refusal.Code
	}
	return CodeInternal
}
