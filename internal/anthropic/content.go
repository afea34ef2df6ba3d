package anthropic

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
)

// paragraph stands between blocks of text that become one.
const paragraph = "\n\n"

// block is a part of a message. Which of its fields count is a matter of its type.
type block struct {
	Type      string          `json:"type"`
	Text      string          `json:"text"`        // text
	Thinking  string          `json:"thinking"`    // thinking
	ID        string          `json:"id"`          // tool_use
	Name      string          `json:"name"`        // tool_use
	Input     json.RawMessage `json:"input"`       // tool_use
	ToolUseID string          `json:"tool_use_id"` // tool_result
	IsError   bool            `json:"is_error"`    // tool_result
	ToolName  string          `json:"tool_name"`   // tool_reference
	Title     string          `json:"title"`       // document, search_result
	Context   string          `json:"context"`     // document
	Content   json.RawMessage `json:"content"`     // tool_result, search_result: a text or blocks
	Source    json.RawMessage `json:"source"`      // image, document: an object; search_result: a text
}

// source is where the bytes of an image or a document are.
type source struct {
	Type      string          `json:"type"`
	MediaType string          `json:"media_type"`
	Data      string          `json:"data"`
	URL       string          `json:"url"`
	Content   json.RawMessage `json:"content"`
}

// part is a part of a chat message.
type part struct {
	Type     string    `json:"type"`
	Text     string    `json:"text,omitempty"`
	ImageURL *imageURL `json:"image_url,omitempty"`
}

type imageURL struct {
	URL string `json:"url"`
}

// isNull reports whether a member is missing or null.
func isNull(raw []byte) bool { return len(raw) == 0 || string(raw) == "null" }

// blocks reads a content: a text, which is one block, or blocks.
func blocks(param string, raw json.RawMessage) (all []block, err error) {
	if isNull(raw) {
		return nil, nil
	}
	if raw[0] == '"' {
		all = []block{{Type: "text"}}
		return all, decode(param, raw, &all[0].Text)
	}
	return all, decode(param, raw, &all)
}

// text returns a part that is text; none if there is no text.
func text(s string) []part {
	if s == "" {
		return nil
	}
	return []part{{Type: "text", Text: s}}
}

// joined returns the text of parts, and the other parts.
func joined(parts []part) (words string, others []part) {
	var texts []string
	for _, p := range parts {
		if p.Type == "text" {
			texts = append(texts, p.Text)
		} else {
			others = append(others, p)
		}
	}
	return strings.Join(texts, paragraph), others
}

// parts translates a content that a model reads.
func parts(param string, raw json.RawMessage) (translated []part, err error) {
	all, err := blocks(param, raw)
	if err != nil {
		return nil, err
	}
	for i, b := range all {
		more, err := b.parts(at(param, i))
		if err != nil {
			return nil, err
		}
		translated = append(translated, more...)
	}
	return translated, nil
}

// parts translates a block that a model reads. One of an unknown type is refused, since the question may hang on it.
func (b *block) parts(param string) ([]part, error) {
	switch b.Type {
	case "text":
		return text(b.Text), nil
	case "image":
		return b.image(param)
	case "document":
		return b.document(param)
	case "search_result":
		return b.searchResult(param)
	case "tool_reference":
		return text(b.ToolName), nil
	}
	return nil, wrong(param+".type", "it is "+quote(b.Type), "this provider takes text, image, document, search_result and tool_result")
}

// image translates a picture to a URL, for its bytes a data URL.
func (b *block) image(param string) ([]part, error) {
	var s source
	param += ".source"
	if err := decode(param, orNothing(b.Source), &s); err != nil {
		return nil, err
	}
	switch {
	case s.Type == "url" && s.URL != "":
		return []part{{Type: "image_url", ImageURL: &imageURL{s.URL}}}, nil
	case s.Type == "base64" && s.MediaType != "" && s.Data != "":
		return []part{{Type: "image_url", ImageURL: &imageURL{"data:" + s.MediaType + ";base64," + s.Data}}}, nil
	case s.Type == "url" || s.Type == "base64":
		return nil, wrong(param, "an image of type "+s.Type+" lacks its url, or its media_type and data", "send them")
	}
	return nil, wrong(param+".type", "it is "+quote(s.Type), "send the image as base64 or url")
}

// orNothing is an empty object in the place of a missing one.
func orNothing(raw json.RawMessage) []byte {
	if isNull(raw) {
		return []byte("{}")
	}
	return raw
}

// document puts a document's text into the message, with its title and context; pictures in it follow.
func (b *block) document(param string) ([]part, error) {
	var s source
	if err := decode(param+".source", orNothing(b.Source), &s); err != nil {
		return nil, err
	}
	var body []part
	var err error
	switch s.Type {
	case "text":
		body = text(s.Data)
	case "content":
		if body, err = parts(param+".source.content", s.Content); err != nil {
			return nil, err
		}
	default:
		return nil, wrong(param+".source.type", fmt.Sprintf("a document of type %s %s", quote(s.Type), quote(s.MediaType)),
			"this provider reads no PDF and no files: send the document's text, or its pages as images")
	}
	words, pictures := joined(body)
	return append(text(element("document", words, "title", b.Title, "context", b.Context)), pictures...), nil
}

// searchResult puts a finding into the message.
func (b *block) searchResult(param string) ([]part, error) {
	var from string
	if err := decode(param+".source", orText(b.Source), &from); err != nil {
		return nil, err
	}
	body, err := parts(param+".content", b.Content)
	if err != nil {
		return nil, err
	}
	words, pictures := joined(body)
	return append(text(element("search_result", words, "title", b.Title, "source", from)), pictures...), nil
}

// orText is an empty text in the place of a missing one.
func orText(raw json.RawMessage) []byte {
	if isNull(raw) {
		return []byte(`""`)
	}
	return raw
}

// element marks text as what it is, with the attributes that have a value, so that a model can tell it from what a person says.
func element(name, body string, attributes ...string) string {
	var b strings.Builder
	b.WriteString("<" + name)
	for i := 0; i+1 < len(attributes); i += 2 {
		if attributes[i+1] != "" {
			fmt.Fprintf(&b, " %s=%q", attributes[i], attributes[i+1])
		}
	}
	b.WriteString(">\n" + body + "\n</" + name + ">")
	return b.String()
}

// compact returns JSON without white space, in the place of a missing value an empty object.
func compact(raw json.RawMessage) string {
	if isNull(raw) {
		return "{}"
	}
	var b bytes.Buffer
	if json.Compact(&b, raw) != nil {
		return string(raw)
	}
	return b.String()
}
