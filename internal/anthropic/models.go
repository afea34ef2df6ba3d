package anthropic

import (
	"encoding/json"
	"fmt"
	"time"
)

// model is a model as Anthropic lists it.
type model struct {
	Type        string `json:"type"`
	ID          string `json:"id"`
	DisplayName string `json:"display_name"`
	CreatedAt   string `json:"created_at"`
}

// modelList is Anthropic's list of models, all of them on one page.
type modelList struct {
	Data    []model `json:"data"`
	HasMore bool    `json:"has_more"`
	FirstID *string `json:"first_id"`
	LastID  *string `json:"last_id"`
}

// lastSecond is the end of the year 9999, the last that RFC 3339 can write.
const lastSecond = 253402300799

// Models translates the body of OpenAI's GET /v1/models to the form in which Anthropic's has it, for clients that send the header
// anthropic-version. The order stays; a model's name is its id; a time of release that is not known is 1970, as at Anthropic.
func Models(body []byte) ([]byte, error) {
	var openAI struct {
		Data []struct {
			ID      string      `json:"id"`
			Created json.Number `json:"created"`
		} `json:"data"`
	}
	if err := json.Unmarshal(body, &openAI); err != nil {
		return nil, fmt.Errorf("anthropic: the provider's list of models cannot be read: %w", err)
	}
	list := modelList{Data: make([]model, 0, len(openAI.Data))}
	for _, m := range openAI.Data {
		seconds, err := m.Created.Int64()
		if err != nil || seconds < 0 || seconds > lastSecond {
			seconds = 0
		}
		list.Data = append(list.Data, model{"model", m.ID, m.ID, time.Unix(seconds, 0).UTC().Format(time.RFC3339)})
	}
	if n := len(list.Data); n > 0 {
		list.FirstID, list.LastID = &list.Data[0].ID, &list.Data[n-1].ID
	}
	return encode(list)
}
