package mock

import (
	"encoding/json"
	"strings"
)

// maxDepth is how deep a specimen may go: a schema may hold itself.
const maxDepth = 16

// specimen returns an instance of a JSON schema, as plain as it can be: the required members, the first of several choices, the
// smallest numbers. Without a schema, or with one that is none, it is {}.
func specimen(schema json.RawMessage) string {
	var root map[string]any
	if json.Unmarshal(schema, &root) != nil {
		return "{}"
	}
	text, err := json.Marshal(instance(root, root, 0))
	if err != nil {
		panic("mock: a specimen that is no JSON: " + err.Error())
	}
	return string(text)
}

// instance is the instance of a part of the schema root.
func instance(part, root map[string]any, depth int) any {
	if value, ok := part["const"]; ok {
		return value
	}
	if values, ok := part["enum"].([]any); ok && len(values) > 0 {
		return values[0]
	}
	if depth > maxDepth {
		return nil
	}
	if other := elsewhere(part, root); other != nil {
		return instance(other, root, depth+1)
	}
	kind := part["type"]
	if several, ok := kind.([]any); ok && len(several) > 0 {
		kind = several[0]
	}
	switch kind {
	case "string":
		return "synthetic"
	case "number", "integer":
		least, _ := part["minimum"].(float64)
		return least
	case "boolean":
		return false
	case "null":
		return nil
	case "array":
		items, _ := part["items"].(map[string]any)
		return []any{instance(items, root, depth+1)}
	default:
		return members(part, root, depth)
	}
}

// elsewhere returns the schema that stands for this one: what it refers to, or the first of its choices; nil if it stands for itself.
func elsewhere(part, root map[string]any) map[string]any {
	if ref, ok := part["$ref"].(string); ok {
		at := root
		for _, name := range strings.Split(strings.TrimPrefix(ref, "#"), "/")[1:] {
			at, _ = at[name].(map[string]any)
		}
		return at
	}
	for _, name := range [...]string{"anyOf", "oneOf", "allOf"} {
		if choices, ok := part[name].([]any); ok && len(choices) > 0 {
			first, _ := choices[0].(map[string]any)
			return first
		}
	}
	return nil
}

// members is an object with the members that are required.
func members(part, root map[string]any, depth int) map[string]any {
	object := map[string]any{}
	properties, _ := part["properties"].(map[string]any)
	required, _ := part["required"].([]any)
	for _, r := range required {
		name, _ := r.(string)
		property, _ := properties[name].(map[string]any)
		object[name] = instance(property, root, depth+1)
	}
	return object
}
