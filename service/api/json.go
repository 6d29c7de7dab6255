package api

import (
	"encoding/json"
	"strconv"
	"unicode/utf8"

	"captop/service"
)

// hot is a body that is answered often enough to write its own JSON: byte for byte what encoding/json makes of it.
type hot interface{ appendJSON(to []byte) []byte }

// jsonOf gives a body as JSON, with room for the line's end.
func jsonOf(body any) []byte {
	if body, ok := body.(hot); ok {
		return body.appendJSON(make([]byte, 0, 192))
	}
	text, err := json.Marshal(body)
	if err != nil { // our own types: they always marshal
		panic(err)
	}
	return text
}

// writeBody answers POST /write/{key}.
type writeBody service.Written

func (b writeBody) appendJSON(to []byte) []byte {
	to = appendField(to, `{"key":`, b.Key)
	to = appendField(to, `,"version":`, string(b.Version))
	to = append(to, `,"nodes":[`...)
	for i, name := range b.Nodes {
		to = appendField(to, ","[:min(i, 1)], name)
	}
	return append(appendField(to, `],"outcome":`, string(b.Outcome)), '}')
}

func (b ReadBody) appendJSON(to []byte) []byte {
	to = appendField(to, `{"key":`, b.Key)
	to = appendField(to, `,"value":`, b.Value.Value)
	to = appendField(to, `,"version":`, string(b.Version))
	to = appendField(to, `,"node":`, b.Node)
	to = strconv.AppendInt(append(to, `,"staleness_ms":`...), b.StalenessMS, 10)
	to = strconv.AppendBool(append(to, `,"stale":`...), b.Stale)
	if b.Cached {
		to = append(to, `,"cached":true`...)
	}
	if b.ReadYourWrites != nil {
		to = strconv.AppendBool(append(to, `,"read_your_writes":`...), *b.ReadYourWrites)
	}
	return append(to, '}')
}

// appendField adds what stands before a text, and the text in quotes.
func appendField(to []byte, before, text string) []byte {
	to = append(to, before...)
	for i := range len(text) {
		if c := text[i]; c < ' ' || c >= utf8.RuneSelf || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			quoted, _ := json.Marshal(text) // of a string it never fails
			return append(to, quoted...)
		}
	}
	return append(append(append(to, '"'), text...), '"')
}
