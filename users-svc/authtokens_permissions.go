package users

import (
	"bytes"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/realmgate/realmgate/pkg/auth"
)

// permissionTree is a tree whose leaves are booleans. A boolean above a leaf speaks for everything
// below it.
type permissionTree map[string]any // bool or permissionTree

// Bounds of a tree, so that no token is a store of its own.
const (
	maxTreeDepth  = 8
	maxTreeLeaves = 500
	maxTreeBytes  = 16 << 10
)

// allows reports whether the tree grants the dotted path.
func (t permissionTree) allows(path string) bool {
	name, rest, _ := strings.Cut(path, ".")
	switch v := t[name].(type) {
	case bool:
		return v
	case permissionTree:
		return rest != "" && v.allows(rest)
	}
	return false
}

// treeOf grants the named paths.
func treeOf(paths ...string) permissionTree {
	t := permissionTree{}
	for _, path := range paths {
		group, name, _ := strings.Cut(path, ".")
		branch, ok := t[group].(permissionTree)
		if !ok {
			branch = permissionTree{}
			t[group] = branch
		}
		branch[name] = true
	}
	return t
}

// only returns the tree without the known permissions that are not among the allowed ones. Where a
// boolean speaks for a group, it then grants those of the group that are left.
func (t permissionTree) only(allowed []string) permissionTree {
	out := maps.Clone(t)
	for _, path := range auth.KnownPermissions() {
		if !out.allows(path) || slices.Contains(allowed, path) {
			continue
		}
		group, name, _ := strings.Cut(path, ".")
		branch, ok := out[group].(permissionTree)
		if !ok {
			branch, _ = treeOf(auth.KnownPermissions()...)[group].(permissionTree)
		}
		branch = maps.Clone(branch)
		delete(branch, name)
		out[group] = branch
	}
	return out
}

// TokenTemplate is a permission tree with a name.
type TokenTemplate struct {
	Name        string         `json:"name"`
	Description string         `json:"description"`
	Permissions permissionTree `json:"permissions"`
}

// tokenTemplates are the trees that permission_template names. resources.vault opens reading and
// writing alike, so read_only is without it.
func tokenTemplates() []TokenTemplate {
	return []TokenTemplate{
		{"full_access", "Everything that an auth token can be allowed; the vault still needs vault_access.",
			treeOf(auth.KnownPermissions()...)},
		{"external_customer", "See projects and containers, and nothing of the account but its public face.",
			treeOf(auth.PermProjectsRead, auth.PermContainersRead)},
		{"dev_team", "Work with the vault, projects, containers and realms.",
			treeOf(auth.PermReadAccount, auth.PermVault, auth.PermRealms, auth.PermProjectsRead, auth.PermContainersRead, auth.PermContainersCreate)},
		{"finance_team", "Read the account and what it has, for accounting.",
			treeOf(auth.PermReadAccount, auth.PermProjectsRead, auth.PermContainersRead)},
		{"read_only", "Read everything but the vault, change nothing.",
			treeOf(auth.PermReadAccount, auth.PermRealms, auth.PermReadTokens, auth.PermProjectsRead, auth.PermContainersRead)},
	}
}

// templateNamed returns the tree of a template; false when there is none of the name.
func templateNamed(name string) (permissionTree, bool) {
	for _, t := range tokenTemplates() {
		if t.Name == name {
			return t.Permissions, true
		}
	}
	return nil, false
}

var permissionName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// parseTree reads a permission tree; problem says what is wrong and at which JSON pointer below the
// tree, "" when nothing is.
func parseTree(raw jsontext.Value) (tree permissionTree, at, problem string) {
	if len(raw) > maxTreeBytes {
		return nil, "", fmt.Sprintf("must be at most %d bytes of JSON", maxTreeBytes)
	}
	leaves := 0
	return parseBranch(jsontext.NewDecoder(bytes.NewReader(raw)), 1, &leaves)
}

func parseBranch(dec *jsontext.Decoder, depth int, leaves *int) (tree permissionTree, at, problem string) {
	if dec.PeekKind() != jsontext.KindBeginObject || depth > maxTreeDepth {
		return nil, "", fmt.Sprintf("must be an object of booleans or of such objects, at most %d levels deep", maxTreeDepth)
	}
	_, _ = dec.ReadToken() // the brace just peeked at
	tree = permissionTree{}
	for dec.PeekKind() != jsontext.KindEndObject {
		token, err := dec.ReadToken()
		if err != nil {
			return nil, "", "must be valid JSON"
		}
		name := token.String()
		if !permissionName.MatchString(name) {
			return nil, "", "names must be 1 to 64 letters, digits, underscores and hyphens"
		}
		if *leaves++; *leaves > maxTreeLeaves {
			return nil, "", fmt.Sprintf("must have at most %d names", maxTreeLeaves)
		}
		switch dec.PeekKind() {
		case jsontext.KindTrue, jsontext.KindFalse:
			value, _ := dec.ReadToken()
			tree[name] = value.Bool()
		default:
			branch, below, problem := parseBranch(dec, depth+1, leaves)
			if problem != "" {
				return nil, "/" + name + below, problem
			}
			tree[name] = branch
		}
	}
	_, _ = dec.ReadToken()
	return tree, "", ""
}

// storedTree reads what the database has, which parseTree let in.
func storedTree(raw []byte) (permissionTree, error) {
	tree, at, problem := parseTree(raw)
	if problem != "" {
		return nil, fmt.Errorf("stored permissions%s: %s", at, problem)
	}
	return tree, nil
}
