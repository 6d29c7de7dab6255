package api

import (
	"net/http"

	"captop/service"
)

// statusOf gives the HTTP status that a code is answered with.
func statusOf(code service.Code) int {
	switch code {
	case service.CodeKeyEmpty, service.CodeKeyInvalid, service.CodeBadRequest, service.CodeBodyIncomplete:
		return http.StatusBadRequest
	case service.CodeUnauthorized:
		return http.StatusUnauthorized
	case service.CodeForbidden:
		return http.StatusForbidden
	case service.CodeNotFound:
		return http.StatusNotFound
	case service.CodeMethodNotAllowed:
		return http.StatusMethodNotAllowed
	case service.CodeRequestTimeout:
		return http.StatusRequestTimeout
	case service.CodeConflict:
		return http.StatusConflict
	case service.CodeValueTooLarge:
		return http.StatusRequestEntityTooLarge
	case service.CodeKeyTooLong:
		return http.StatusRequestURITooLong
	case service.CodeRateLimited:
		return http.StatusTooManyRequests
	case service.CodeHeaderTooLarge:
		return http.StatusRequestHeaderFieldsTooLarge
	case service.CodeNodeUnavailable, service.CodeCircuitOpen, service.CodeRejoining, service.CodeClockSkew:
		return http.StatusServiceUnavailable
	case service.CodeUnknownOutcome, service.CodeTimeout:
		return http.StatusGatewayTimeout
	}
	return http.StatusInternalServerError
}
