package api_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"captop/service"
	"captop/service/api"
)

// post is a well-formed POST without a body.
func post(path string) string {
	return "POST " + path + " HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
}

func get(path string) string { return "GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n" }

// badInput holds every kind of bad request, as bytes on the wire, beside its status and code.
var badInput = map[string]struct {
	request   string
	hangUp    bool // the client closes its side after the request
	status    int
	code      service.Code
	isRead    bool // the answer has no outcome
	wantBytes string
}{
	"empty key":              {request: post("/write/"), status: 400, code: service.CodeKeyEmpty},
	"empty key, no slash":    {request: post("/write"), status: 400, code: service.CodeKeyEmpty},
	"empty key with a value": {request: post("/write//value"), status: 400, code: service.CodeKeyEmpty},
	"empty key to read":      {request: get("/read/"), status: 400, code: service.CodeKeyEmpty, isRead: true},
	"key too long": {request: post("/write/" + strings.Repeat("k", 513) + "/v"), status: 414,
		code: service.CodeKeyTooLong},
	"key too long to read": {request: get("/read/" + strings.Repeat("k", 513)), status: 414,
		code: service.CodeKeyTooLong, isRead: true},
	"key with a control character": {request: post("/write/a%00b/v"), status: 400, code: service.CodeKeyInvalid},
	"key with a newline":           {request: post("/write/a%0Ab/v"), status: 400, code: service.CodeKeyInvalid},
	"key with DEL":                 {request: get("/read/a%7Fb"), status: 400, code: service.CodeKeyInvalid, isRead: true},
	"key not UTF-8":                {request: post("/write/%ff%fe/v"), status: 400, code: service.CodeKeyInvalid},
	"raw bytes in the path":        {request: post("/write/\xff\xfe/v"), status: 400, code: service.CodeKeyInvalid},
	"value not UTF-8":              {request: post("/write/k/%ff"), status: 400, code: service.CodeBadRequest},
	"empty value in the path":      {request: post("/write/k/"), status: 400, code: service.CodeBadRequest},
	"key of one dot":               {request: post("/write/./v"), status: 400, code: service.CodeBadRequest},
	"key of two dots":              {request: post("/write/../v"), status: 400, code: service.CodeBadRequest},
	"two values": {request: "POST /write/k/v HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nw", status: 400,
		code: service.CodeBadRequest},
	"value announced too large": {request: "POST /write/k HTTP/1.1\r\nHost: x\r\nContent-Length: 1048577\r\n\r\n",
		status: 413, code: service.CodeValueTooLarge},
	"value too large in chunks": {request: "POST /write/k HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" +
		fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", 1<<20+1, strings.Repeat("v", 1<<20+1)),
		status: 413, code: service.CodeValueTooLarge},
	"body shorter than announced": {request: "POST /write/k HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc",
		hangUp: true, status: 400, code: service.CodeBodyIncomplete},
	"chunk cut off": {request: "POST /write/k HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nabc",
		hangUp: true, status: 400, code: service.CodeBodyIncomplete},
	"chunk that is none": {request: "POST /write/k HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n\r\n",
		status: 400, code: service.CodeBadRequest},
	"body that does not come": {request: "POST /write/k HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc",
		status: 408, code: service.CodeRequestTimeout},
	"refused body that does not come": {request: "PUT /write/k HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc",
		status: 405, code: service.CodeMethodNotAllowed},
	"header that does not end": {request: "GET /read/k HTTP/1.1\r\nHost: x\r\n", status: 408,
		code: service.CodeRequestTimeout},
	"huge header": {request: "GET /read/k HTTP/1.1\r\nHost: x\r\nX-Huge: " + strings.Repeat("h", 80<<10) + "\r\n\r\n",
		status: 431, code: service.CodeHeaderTooLarge},
	"huge path":         {request: get("/read/" + strings.Repeat("k", 80<<10)), status: 431, code: service.CodeHeaderTooLarge},
	"bad escape":        {request: get("/read/%zz"), status: 400, code: service.CodeBadRequest},
	"no HTTP":           {request: "HELLO\r\n\r\n", status: 400, code: service.CodeBadRequest},
	"no host":           {request: "GET /read/k HTTP/1.1\r\n\r\n", status: 400, code: service.CodeBadRequest},
	"unknown transfer":  {request: "POST /write/k HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: zip\r\n\r\n", status: 501, code: service.CodeBadRequest},
	"two lengths":       {request: "POST /write/k HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", status: 400, code: service.CodeBadRequest},
	"negative length":   {request: "POST /write/k HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", status: 400, code: service.CodeBadRequest},
	"unknown node":      {request: get("/read/k?node=db_g3"), status: 400, code: service.CodeBadRequest, isRead: true},
	"key never written": {request: get("/read/nobody"), status: 404, code: service.CodeNotFound, isRead: true},
	"no such route":     {request: get("/nothing"), status: 404, code: service.CodeNotFound, isRead: true},
	"too many segments": {request: post("/write/k/v/w"), status: 404, code: service.CodeNotFound},
	"GET to write":      {request: get("/write/k/v"), status: 405, code: service.CodeMethodNotAllowed},
	"POST to read":      {request: post("/read/k"), status: 405, code: service.CodeMethodNotAllowed, isRead: true},
	"DELETE to the health": {request: "DELETE /health HTTP/1.1\r\nHost: x\r\n\r\n", status: 405,
		code: service.CodeMethodNotAllowed, isRead: true},
}

func TestBadInput(t *testing.T) {
	t.Parallel()
	store := newFakeStore()
	options := testOptions(io.Discard)
	options.Timeout = 2 * time.Second // how long the slow client is borne
	addr, _ := serve(t, store, options)
	for name, c := range badInput {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			response, body := exchange(t, addr, c.request, c.hangUp)
			if response.StatusCode != c.status || body.Error.Code != c.code {
				t.Errorf("%d %+v, wanted %d %s", response.StatusCode, body, c.status, c.code)
			}
			if response.Header.Get("Content-Type") != "application/json" || body.Mode != service.ModeCP ||
				body.Instance != "test-1" || body.Error.Message == "" {
				t.Errorf("the error body is not whole: %v %+v", response.Header, body)
			}
			wantOutcome := service.NotApplied
			if c.isRead {
				wantOutcome = ""
			}
			// Before the path is known, an error says not_applied in any case.
			early := strings.HasPrefix(c.request, "GET /read") && body.Error.Outcome == service.NotApplied &&
				(c.status == 400 || c.status == 431 || c.status == 408)
			if body.Error.Outcome != wantOutcome && !early {
				t.Errorf("the outcome is %q, wanted %q", body.Error.Outcome, wantOutcome)
			}
		})
	}
	t.Cleanup(func() {
		store.set(func(f *fakeStore) {
			if f.next != 0 {
				t.Errorf("bad requests wrote %d values: %v", f.next, f.values)
			}
		})
	})
}

// exchange sends bytes and reads one answer.
func exchange(t *testing.T, addr, request string, hangUp bool) (*http.Response, api.ErrorBody) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	// The server may answer and close before it has read everything.
	go func() {
		_, _ = io.WriteString(conn, request)
		if hangUp {
			_ = conn.(*net.TCPConn).CloseWrite()
		}
	}()
	return answer(t, bufio.NewReader(conn), "GET")
}

// answer reads the answer to a request of a method. Every one of ours is JSON.
func answer(t *testing.T, reader *bufio.Reader, method string) (*http.Response, api.ErrorBody) {
	t.Helper()
	response, err := http.ReadResponse(reader, &http.Request{Method: method})
	if err != nil {
		t.Fatalf("no answer: %v", err)
	}
	defer response.Body.Close()
	var body api.ErrorBody
	text, err := io.ReadAll(response.Body)
	if err != nil || json.Unmarshal(text, &body) != nil {
		t.Fatalf("%d with a body that is no error body: %q %v", response.StatusCode, text, err)
	}
	return response, body
}

// TestLimitsAreIncluded: what is just allowed is taken.
func TestLimitsAreIncluded(t *testing.T) {
	addr, _ := serve(t, newFakeStore(), testOptions(io.Discard))
	client := api.NewClient("http://"+addr, "", &http.Transport{})
	for name, c := range map[string]struct{ key, value string }{
		"long key":    {strings.Repeat("k", 512), "v"},
		"large value": {"k", strings.Repeat("v", 1<<20)},
		"empty value": {"k", ""},
		"one dot":     {".", "v"},
		"two dots":    {"..", "v"},
		"slashes":     {"/a//b/", "a/b"},
		"odd ones":    {"a b?c#d%e&f+g;h", "\x00\n\"<&>"},
		"not ASCII":   {"schlüssel/鍵", "wert 値"},
	} {
		if _, err := client.Write(t.Context(), c.key, []byte(c.value)); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got, err := client.Read(t.Context(), c.key, service.ReadOptions{})
		if err != nil || got.Key != c.key || got.Value.Value != c.value {
			t.Errorf("%s: read %.80q of %.80q, %v", name, got.Value.Value, got.Key, err)
		}
	}
}

// FuzzRequest sends any bytes: every answer is whole HTTP, and the server lives on.
func FuzzRequest(f *testing.F) {
	for _, c := range badInput {
		if len(c.request) < 4<<10 {
			f.Add([]byte(c.request))
		}
	}
	f.Add([]byte("POST /write/k/v HTTP/1.1\r\nHost: x\r\nX-Session-Token: a.b\r\nAuthorization: Bearer\r\n\r\n"))
	log := &logBuffer{}
	options := testOptions(log)
	options.Timeout = 50 * time.Millisecond // how long a body that does not come is borne
	options.Sessions = api.NewSessions(options.Mode, []byte("k"), time.Now, options.Logger)
	dial := servePipes(f, newFakeStore(), options, nil)
	f.Fuzz(func(t *testing.T, request []byte) {
		near := dial(nil)
		go func() {
			_, _ = near.Write(append(request, "\r\n\r\nGET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"...))
		}()
		_ = near.SetReadDeadline(time.Now().Add(patience))
		reader := bufio.NewReader(near)
		for {
			response, err := http.ReadResponse(reader, nil)
			if err != nil {
				break
			}
			_, err = io.Copy(io.Discard, response.Body)
			if err != nil || response.StatusCode == http.StatusInternalServerError {
				t.Errorf("answer %d to %q: %v", response.StatusCode, request, err)
			}
			if response.Close {
				break
			}
		}
		near.Close()
		if strings.Contains(log.String(), "panic") || strings.Contains(log.String(), "PANIC") {
			t.Fatalf("a panic for %q:\n%s", request, log.String())
		}
	})
}
