package mock

import (
	"cmp"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"hash/crc32"
	"math"
	"math/rand/v2"
)

// Bounds of an answer with embeddings.
const (
	defaultDimensions = 16
	maxDimensions     = 8192
	maxInputs         = 2048
)

// embedding is one entry of the answer; Embedding is a list of numbers or their base64.
type embedding struct {
	Object    string `json:"object"`
	Index     int    `json:"index"`
	Embedding any    `json:"embedding"`
}

// embed answers with a vector for each input: always the same one for the same input, with no meaning at all.
func (s *Server) embed(c *call) {
	var in struct {
		Input          json.RawMessage
		Dimensions     int
		EncodingFormat string `json:"encoding_format"`
	}
	broken := json.Unmarshal(c.body, &in) != nil
	inputs := inputsOf(in.Input)
	if broken || len(in.Input) == 0 || len(inputs) > maxInputs || in.Dimensions < 0 || in.Dimensions > maxDimensions {
		s.refuse(c, "worker_invalid", nil)
		return
	}
	in.Dimensions = cmp.Or(in.Dimensions, defaultDimensions)
	data := make([]embedding, len(inputs))
	for i, input := range inputs {
		data[i] = embedding{Object: "embedding", Index: i, Embedding: vector(input, in.Dimensions, in.EncodingFormat == "base64")}
	}
	body, err := json.Marshal(map[string]any{
		"object": "list", "model": c.model.name, "data": data,
		"usage": map[string]int{"prompt_tokens": c.promptTokens(), "total_tokens": c.promptTokens()},
	})
	if err != nil {
		panic("mock: embeddings that are no JSON: " + err.Error())
	}
	s.sendWhole(c, body)
}

// inputsOf returns the inputs in the four forms of the API: a text, several, the tokens of one, or of several.
func inputsOf(raw json.RawMessage) []json.RawMessage {
	var list []json.RawMessage
	if json.Unmarshal(raw, &list) != nil || len(list) == 0 || list[0][0] != '"' && list[0][0] != '[' {
		return []json.RawMessage{raw}
	}
	return list
}

func vector(input []byte, dimensions int, encoded bool) any {
	draw := rand.New(rand.NewPCG(uint64(crc32.ChecksumIEEE(input)), 0))
	numbers := make([]float32, dimensions)
	bytes := make([]byte, 0, 4*dimensions)
	for i := range numbers {
		numbers[i] = 2*draw.Float32() - 1
		bytes = binary.LittleEndian.AppendUint32(bytes, math.Float32bits(numbers[i]))
	}
	if encoded {
		return base64.StdEncoding.EncodeToString(bytes)
	}
	return numbers
}
