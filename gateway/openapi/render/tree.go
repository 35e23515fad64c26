package render

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v4"
)

// tree is openapi.yaml as it was written. It knows what the loaded document has lost: the order of
// paths, and of the fields in an example.
type tree struct{ root *yaml.Node }

func parseTree(raw []byte) (tree, error) {
	var file yaml.Node
	if err := yaml.Unmarshal(raw, &file); err != nil {
		return tree{}, err
	}
	if len(file.Content) != 1 || file.Content[0].Kind != yaml.MappingNode {
		return tree{}, errors.New("not one mapping")
	}
	return tree{root: file.Content[0]}, nil
}

// at goes from the root along keys and follows references; nil when there is no such node.
func (t tree) at(keys ...string) *yaml.Node {
	node := t.root
	for _, key := range keys {
		if node = valueOf(node, key); node == nil {
			return nil
		}
		if ref := valueOf(node, "$ref"); ref != nil {
			if node = t.at(strings.Split(strings.TrimPrefix(ref.Value, "#/"), "/")...); node == nil {
				return nil
			}
		}
	}
	return node
}

func valueOf(mapping *yaml.Node, key string) *yaml.Node {
	if mapping.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == key {
			return mapping.Content[i+1]
		}
	}
	return nil
}

// keys returns the keys of the mapping at the path, in the order of the file.
func (t tree) keys(path ...string) []string {
	node := t.at(path...)
	if node == nil {
		return nil
	}
	var out []string
	for i := 0; i < len(node.Content); i += 2 {
		out = append(out, node.Content[i].Value)
	}
	return out
}

// example returns the first example of the media type at the path; nil when it has none.
func (t tree) example(path ...string) *yaml.Node {
	if node := t.at(append(path, "example")...); node != nil {
		return node
	}
	names := t.keys(append(path, "examples")...)
	if len(names) == 0 {
		return nil
	}
	return t.at(append(path, "examples", names[0], "value")...)
}

// json writes a node as JSON in the order of the file, indented when indent is not empty.
func (t tree) json(node *yaml.Node, indent string) ([]byte, error) {
	var compact, out bytes.Buffer
	if err := writeJSON(&compact, node); err != nil {
		return nil, err
	}
	if indent == "" {
		return compact.Bytes(), nil
	}
	err := json.Indent(&out, compact.Bytes(), "", indent)
	return out.Bytes(), err
}

func writeJSON(b *bytes.Buffer, node *yaml.Node) error {
	switch node.Kind {
	case yaml.MappingNode:
		b.WriteByte('{')
		for i := 0; i+1 < len(node.Content); i += 2 {
			if i > 0 {
				b.WriteByte(',')
			}
			if err := writeScalar(b, node.Content[i].Value); err != nil {
				return err
			}
			b.WriteByte(':')
			if err := writeJSON(b, node.Content[i+1]); err != nil {
				return err
			}
		}
		b.WriteByte('}')
	case yaml.SequenceNode:
		b.WriteByte('[')
		for i, entry := range node.Content {
			if i > 0 {
				b.WriteByte(',')
			}
			if err := writeJSON(b, entry); err != nil {
				return err
			}
		}
		b.WriteByte(']')
	case yaml.ScalarNode:
		var v any
		if err := node.Decode(&v); err != nil {
			return err
		}
		return writeScalar(b, v)
	default:
		return fmt.Errorf("line %d: aliases are not wanted here", node.Line)
	}
	return nil
}

func writeScalar(b *bytes.Buffer, v any) error {
	enc := json.NewEncoder(b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return err
	}
	b.Truncate(b.Len() - 1) // the newline that Encode puts behind it
	return nil
}
