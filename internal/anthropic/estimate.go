package anthropic

// What makes a token. Measured with the tokenizers cl100k_base and o200k_base, in bytes a token: English text 3.6 to 5.0, Chinese 2.9 to
// 3.4, Go code 3.4, JSON schemas 4.3, arguments of tools 2.6, lock files 2.5, checksums 1.7.
const (
	proseBytes   = 4
	denseBytes   = 3    // of what is mostly signs and digits
	imageTokens  = 1500 // a picture of about a megapixel; models take between 260 and 1,600, or more in tiles
	turnTokens   = 4    // what a template puts around a message
	toolTokens   = 8    // and around a tool or a call
	promptTokens = 3    // and before the answer
)

// CountTokens estimates how many tokens the model would read of the body of POST /v1/messages/count_tokens, for providers that have no
// such path:
//
//	3 + 4 a message + 8 a tool and a tool call + bytes of text and schemas / 4 + bytes of arguments and tool results / 3 + 1,500 an image
//
// counted over what Request makes of it, without what it drops. For text and code the error is within about 25 % either way; it is
// larger for languages that a tokenizer hardly knows, and counts only half of checksums and the like. An error is an *Error, as Request
// gives it; max_tokens may be missing.
func CountTokens(body []byte) (int, error) {
	var r request
	if err := decode("", body, &r); err != nil {
		return 0, err
	}
	c, err := r.translate()
	if err != nil {
		return 0, err
	}
	prose, dense, tokens := 0, 0, promptTokens
	for _, m := range c.Messages {
		tokens += turnTokens + toolTokens*len(m.ToolCalls)
		for _, p := range m.parts {
			switch {
			case p.ImageURL != nil:
				tokens += imageTokens
			case m.Role == "tool":
				dense += len(p.Text)
			default:
				prose += len(p.Text)
			}
		}
		prose += len(m.Reasoning)
		for _, call := range m.ToolCalls {
			dense += len(call.Function.Name) + len(call.Function.Arguments)
		}
	}
	for _, t := range c.Tools {
		tokens += toolTokens
		prose += len(t.Function.Name) + len(t.Function.Description) + len(compact(t.Function.Parameters))
	}
	return tokens + roundUp(prose, proseBytes) + roundUp(dense, denseBytes), nil
}

// roundUp divides and rounds up.
func roundUp(n, by int) int { return (n + by - 1) / by }
