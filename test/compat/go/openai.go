package main

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/shared"
)

// openAI is OpenAI's own SDK.
func openAI() sdk {
	return sdk{
		verbs: map[string]func(context.Context, *call) error{
			"plain": openAIPlain, "tool": openAIPlain, "stream": openAIStream, "tool stream": openAIStream,
			"object": openAIObject, "embed": openAIEmbed,
		},
		failure: func(err error) *failure {
			e, ok := errors.AsType[*openai.Error](err)
			if !ok {
				return nil
			}
			return &failure{Class: "*openai.Error", Status: e.StatusCode, Message: e.Message, Code: e.Code, Type: e.Type}
		},
	}
}

func (c *call) openAI() openai.Client {
	options := []option.RequestOption{
		option.WithBaseURL(c.URL + "/v1"), option.WithAPIKey(c.Key), option.WithMaxRetries(c.Retries), option.WithHTTPClient(c.client()),
	}
	for name, value := range c.Headers {
		options = append(options, option.WithHeader(name, value))
	}
	if c.Timeout > 0 {
		options = append(options, option.WithRequestTimeout(time.Duration(c.Timeout)*time.Millisecond))
	}
	return openai.NewClient(options...)
}

func (c *call) openAIChat() openai.ChatCompletionNewParams {
	message := openai.UserMessage(question)
	if c.Image != "" {
		message = openai.UserMessage([]openai.ChatCompletionContentPartUnionParam{
			openai.TextContentPart(question),
			openai.ImageContentPart(openai.ChatCompletionContentPartImageImageURLParam{URL: c.Image}),
		})
	}
	p := openai.ChatCompletionNewParams{Model: c.Model, Messages: []openai.ChatCompletionMessageParamUnion{message}}
	if c.kind == "tool" {
		p.Tools = []openai.ChatCompletionToolUnionParam{openai.ChatCompletionFunctionTool(shared.FunctionDefinitionParam{
			Name: timeTool, Description: openai.String(about), Parameters: timeSchema,
		})}
	}
	return p
}

func (c *call) readOpenAI(answer *openai.ChatCompletion) error {
	if len(answer.Choices) == 0 {
		return errors.New("an answer without choices")
	}
	choice := answer.Choices[0]
	c.out.Text, c.out.Finish = choice.Message.Content, finishes[choice.FinishReason]
	c.out.Usage = usage{answer.Usage.PromptTokens, answer.Usage.CompletionTokens}
	for _, t := range choice.Message.ToolCalls {
		c.out.Tool = &tool{t.Function.Name, json.RawMessage(t.Function.Arguments)}
	}
	return nil
}

func openAIPlain(ctx context.Context, c *call) error {
	client := c.openAI()
	answer, err := client.Chat.Completions.New(ctx, c.openAIChat())
	if err != nil {
		return err
	}
	return c.readOpenAI(answer)
}

func openAIStream(ctx context.Context, c *call) error {
	client, p := c.openAI(), c.openAIChat()
	p.StreamOptions.IncludeUsage = openai.Bool(true)
	stream := client.Chat.Completions.NewStreaming(ctx, p)
	defer stream.Close()
	var whole openai.ChatCompletionAccumulator
	for stream.Next() {
		chunk := stream.Current()
		whole.AddChunk(chunk)
		for _, choice := range chunk.Choices {
			c.seen(choice.Delta.Content, choice.FinishReason)
		}
	}
	if err := stream.Err(); err != nil {
		return err
	}
	return c.readOpenAI(&whole.ChatCompletion)
}

func openAIObject(ctx context.Context, c *call) error {
	client, p := c.openAI(), c.openAIChat()
	p.ResponseFormat.OfJSONSchema = &shared.ResponseFormatJSONSchemaParam{
		JSONSchema: shared.ResponseFormatJSONSchemaJSONSchemaParam{Name: "weather", Schema: weatherSchema, Strict: openai.Bool(true)},
	}
	answer, err := client.Chat.Completions.New(ctx, p)
	if err != nil {
		return err
	}
	return json.Unmarshal([]byte(answer.Choices[0].Message.Content), &c.out.Object)
}

func openAIEmbed(ctx context.Context, c *call) error {
	client := c.openAI()
	answer, err := client.Embeddings.New(ctx, openai.EmbeddingNewParams{
		Model: c.Model, Input: openai.EmbeddingNewParamsInputUnion{OfArrayOfStrings: inputs},
	})
	if err != nil {
		return err
	}
	for _, d := range answer.Data {
		c.out.Vectors = append(c.out.Vectors, d.Embedding)
	}
	return nil
}
