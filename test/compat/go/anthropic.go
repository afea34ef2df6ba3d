package main

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/anthropics/anthropic-sdk-go"
	"github.com/anthropics/anthropic-sdk-go/option"
)

// anthropicSDK is Anthropic's own SDK.
func anthropicSDK() sdk {
	return sdk{
		verbs: map[string]func(context.Context, *call) error{
			"plain": anthropicPlain, "tool": anthropicPlain, "stream": anthropicStream, "tool stream": anthropicStream,
			"object": anthropicObject, "count": anthropicCount,
		},
		failure: func(err error) *failure {
			e, ok := errors.AsType[*anthropic.Error](err)
			if !ok {
				return nil
			}
			var body struct{ Error struct{ Message string } }
			_ = json.Unmarshal([]byte(e.RawJSON()), &body) // the SDK shows the body itself; without a message the suite says so
			return &failure{Class: "*anthropic.Error", Status: e.StatusCode, Message: body.Error.Message, Type: string(e.Type())}
		},
	}
}

func (c *call) anthropic() anthropic.Client {
	options := []option.RequestOption{
		option.WithBaseURL(c.URL), option.WithAPIKey(c.Key), option.WithMaxRetries(c.Retries), option.WithHTTPClient(c.client()),
	}
	for name, value := range c.Headers {
		options = append(options, option.WithHeader(name, value))
	}
	if c.Timeout > 0 {
		options = append(options, option.WithRequestTimeout(time.Duration(c.Timeout)*time.Millisecond))
	}
	return anthropic.NewClient(options...)
}

func (c *call) anthropicMessage() anthropic.MessageNewParams {
	blocks := []anthropic.ContentBlockParamUnion{anthropic.NewTextBlock(question)}
	if _, data, ok := strings.Cut(c.Image, ","); ok {
		blocks = append(blocks, anthropic.NewImageBlockBase64("image/png", data))
	}
	p := anthropic.MessageNewParams{Model: anthropic.Model(c.Model), MaxTokens: 256, Messages: []anthropic.MessageParam{anthropic.NewUserMessage(blocks...)}}
	if c.kind == "tool" {
		p.Tools = []anthropic.ToolUnionParam{{OfTool: &anthropic.ToolParam{
			Name: timeTool, Description: anthropic.String(about),
			InputSchema: anthropic.ToolInputSchemaParam{Properties: timeSchema["properties"], Required: []string{"zone"}},
		}}}
	}
	return p
}

func (c *call) readAnthropic(answer *anthropic.Message) error {
	if len(answer.Content) == 0 {
		return errors.New("an answer without content")
	}
	block := answer.Content[0]
	c.out.Text, c.out.Finish = block.Text, finishes[string(answer.StopReason)]
	c.out.Usage = usage{answer.Usage.InputTokens, answer.Usage.OutputTokens}
	if block.Type == "tool_use" {
		c.out.Tool = &tool{block.Name, block.Input}
	}
	return nil
}

func anthropicPlain(ctx context.Context, c *call) error {
	client := c.anthropic()
	answer, err := client.Messages.New(ctx, c.anthropicMessage())
	if err != nil {
		return err
	}
	return c.readAnthropic(answer)
}

func anthropicStream(ctx context.Context, c *call) error {
	client := c.anthropic()
	stream := client.Messages.NewStreaming(ctx, c.anthropicMessage())
	defer stream.Close()
	var whole anthropic.Message
	for stream.Next() {
		event := stream.Current()
		if err := whole.Accumulate(event); err != nil {
			return err
		}
		c.seen(event.Delta.Text, string(event.Delta.StopReason))
	}
	if err := stream.Err(); err != nil {
		return err
	}
	return c.readAnthropic(&whole)
}

func anthropicObject(ctx context.Context, c *call) error {
	client, p := c.anthropic(), c.anthropicMessage()
	p.OutputConfig = anthropic.OutputConfigParam{Format: anthropic.JSONOutputFormatParam{Schema: weatherSchema}}
	answer, err := client.Messages.New(ctx, p)
	if err != nil {
		return err
	}
	return json.Unmarshal([]byte(answer.Content[0].Text), &c.out.Object)
}

func anthropicCount(ctx context.Context, c *call) error {
	client, p := c.anthropic(), c.anthropicMessage()
	answer, err := client.Messages.CountTokens(ctx, anthropic.MessageCountTokensParams{Model: p.Model, Messages: p.Messages})
	if err != nil {
		return err
	}
	c.out.Tokens = answer.InputTokens
	return nil
}
