package config

import (
	"encoding/json"
	"reflect"
	"strconv"
	"strings"
)

// Schema returns the JSON schema of the settings file, for editors. The loader is the judge: it knows rules that a schema cannot say.
func Schema() []byte {
	s := schemaOf(root())
	s["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	s["title"] = "Settings of nim-sidecar"
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		panic("config: the schema is no JSON: " + err.Error())
	}
	return append(b, '\n')
}

// schemaOf returns the schema of a group. Null is allowed everywhere: a key without a value was not given.
func schemaOf(group *node) map[string]any {
	properties := map[string]any{}
	for _, n := range group.inner {
		if n.key == "" {
			continue
		}
		s := n.schema()
		if n.Help != "" {
			s["description"] = n.Help
		}
		properties[n.key] = s
	}
	return map[string]any{"type": orNull("object"), "properties": properties, "additionalProperties": false}
}

func (n *node) schema() map[string]any {
	switch {
	case n.list():
		return map[string]any{"type": orNull("array"), "items": schemaOf(n)}
	case n.inner != nil:
		return schemaOf(n)
	}
	s := map[string]any{}
	switch typeName(n.typ) {
	case "true or false":
		s["type"] = orNull("boolean")
	case "number":
		s["type"] = orNull("integer")
		s["minimum"], s["maximum"] = number(n.typ, n.tag.Get("min")), number(n.typ, n.tag.Get("max"))
	case "size", "number or auto":
		s["type"] = orNull("string", "integer")
	case "list":
		s["type"] = orNull("array", "string")
		s["items"] = map[string]any{"type": "string"}
	case "class":
		s["type"] = orNull("string", "integer")
	default:
		s["type"] = orNull("string")
	}
	if enum := n.tag.Get("enum"); enum != "" {
		s["enum"] = append(toAny(strings.Split(enum, ",")), nil)
	}
	if n.Default != "" {
		s["default"] = n.typed(n.Default)
	}
	return s
}

// typed returns a default as JSON has it.
func (n *node) typed(text string) any {
	switch n.typ.Kind() {
	case reflect.Bool:
		return text == "true"
	case reflect.Int:
		if i, err := strconv.Atoi(text); err == nil {
			return i
		}
	}
	return text
}

func orNull(types ...string) []any { return append(toAny(types), "null") }

func toAny(list []string) []any { return mapped(list, func(s string) any { return s }) }
