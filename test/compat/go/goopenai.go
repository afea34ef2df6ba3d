package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	goopenai "github.com/sashabaranov/go-openai"
)

// goOpenAI is the oldest SDK of the community.
func goOpenAI() sdk {
	return sdk{
		verbs: map[string]func(context.Context, *call) error{
			"plain": goPlain, "tool": goPlain, "stream": goStream, "tool stream": goStream,
			"object": goObject, "embed": goEmbed,
		},
		failure: func(err error) *failure {
			e, ok := errors.AsType[*goopenai.APIError](err)
			if !ok {
				return nil
			}
			return &failure{Class: "*openai.APIError", Status: e.HTTPStatusCode, Message: e.Message, Code: fmt.Sprint(e.Code), Type: e.Type}
		},
	}
}

// headed adds headers, for which the SDK has no option.
type headed struct {
	*wire
	headers map[string]string
}

func (h headed) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	for name, value := range h.headers {
		r.Header.Set(name, value)
	}
	return h.wire.RoundTrip(r)
}

func (c *call) goOpenAI() *goopenai.Client {
	config := goopenai.DefaultConfig(c.Key)
	config.BaseURL = c.URL + "/v1"
	config.HTTPClient = &http.Client{Transport: headed{c.wire, c.Headers}, Timeout: time.Duration(c.Timeout) * time.Millisecond}
	return goopenai.NewClientWithConfig(config)
}

func (c *call) goChat() goopenai.ChatCompletionRequest {
	message := goopenai.ChatCompletionMessage{Role: "user", Content: question}
	if c.Image != "" {
		message = goopenai.ChatCompletionMessage{Role: "user", MultiContent: []goopenai.ChatMessagePart{
			{Type: goopenai.ChatMessagePartTypeText, Text: question},
			{Type: goopenai.ChatMessagePartTypeImageURL, ImageURL: &goopenai.ChatMessageImageURL{URL: c.Image}},
		}}
	}
	r := goopenai.ChatCompletionRequest{Model: c.Model, Messages: []goopenai.ChatCompletionMessage{message}}
	if c.kind == "tool" {
		r.Tools = []goopenai.Tool{{Type: goopenai.ToolTypeFunction, Function: &goopenai.FunctionDefinition{Name: timeTool, Description: about, Parameters: timeSchema}}}
	}
	return r
}

func goPlain(ctx context.Context, c *call) error {
	answer, err := c.goOpenAI().CreateChatCompletion(ctx, c.goChat())
	if err != nil {
		return err
	}
	choice := answer.Choices[0]
	c.out.Text, c.out.Finish = choice.Message.Content, finishes[string(choice.FinishReason)]
	c.out.Usage = usage{int64(answer.Usage.PromptTokens), int64(answer.Usage.CompletionTokens)}
	for _, t := range choice.Message.ToolCalls {
		c.out.Tool = &tool{t.Function.Name, json.RawMessage(t.Function.Arguments)}
	}
	return nil
}

func goStream(ctx context.Context, c *call) error {
	r := c.goChat()
	r.StreamOptions = &goopenai.StreamOptions{IncludeUsage: true}
	stream, err := c.goOpenAI().CreateChatCompletionStream(ctx, r)
	if err != nil {
		return err
	}
	defer stream.Close()
	var called tool
	for {
		chunk, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if chunk.Usage != nil {
			c.out.Usage = usage{int64(chunk.Usage.PromptTokens), int64(chunk.Usage.CompletionTokens)}
		}
		for _, choice := range chunk.Choices {
			c.seen(choice.Delta.Content, string(choice.FinishReason))
			c.out.Text += choice.Delta.Content
			for _, t := range choice.Delta.ToolCalls {
				called.Name += t.Function.Name
				called.Arguments = append(called.Arguments, t.Function.Arguments...)
			}
		}
	}
	if n := len(c.out.Finishes); n > 0 {
		c.out.Finish = c.out.Finishes[n-1]
	}
	if called.Name != "" {
		c.out.Tool = &called
	}
	return nil
}

func goObject(ctx context.Context, c *call) error {
	schema, err := json.Marshal(weatherSchema)
	if err != nil {
		return err
	}
	r := c.goChat()
	r.ResponseFormat = &goopenai.ChatCompletionResponseFormat{
		Type:       goopenai.ChatCompletionResponseFormatTypeJSONSchema,
		JSONSchema: &goopenai.ChatCompletionResponseFormatJSONSchema{Name: "weather", Schema: json.RawMessage(schema), Strict: true},
	}
	answer, err := c.goOpenAI().CreateChatCompletion(ctx, r)
	if err != nil {
		return err
	}
	return json.Unmarshal([]byte(answer.Choices[0].Message.Content), &c.out.Object)
}

func goEmbed(ctx context.Context, c *call) error {
	answer, err := c.goOpenAI().CreateEmbeddings(ctx, goopenai.EmbeddingRequestStrings{Model: goopenai.EmbeddingModel(c.Model), Input: inputs})
	if err != nil {
		return err
	}
	for _, d := range answer.Data {
		vector := make([]float64, len(d.Embedding))
		for i, number := range d.Embedding {
			vector[i] = float64(number)
		}
		c.out.Vectors = append(c.out.Vectors, vector)
	}
	return nil
}
