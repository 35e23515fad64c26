package users

import (
	"bytes"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/pkg/auth"
)

// The permissions that Realmgate decides by: paths to leaves of an auth token's permission tree. A
// session has them all, a token those that its tree grants; what the tree does not name is denied.
// Trees may hold other leaves too, for programs that read the tree themselves. The activity log is
// not among them: event_access alone opens it (contract, section 7).
const (
	permReadAccount      = "resources.read_account"   // the whole profile; without it only the reduced view
	permUpdateAccount    = "resources.update_account" // PATCH of the own profile, never of the password
	permVault            = "resources.vault"          // the vault, together with vault_access
	permRealms           = "resources.realms"         // the list of realms
	permReadTokens       = "resources.read_tokens"    // seeing the auth tokens that the token made
	permCreateTokens     = "resources.create_tokens"  // making, changing and deleting those
	permProjectsRead     = "projects.read"
	permContainersRead   = "containers.read"
	permContainersCreate = "containers.create" // retry-setup
)

// knownPermissions are all of them. Only these travel with a request, which bounds the size of the
// internal identity.
func knownPermissions() []string {
	return []string{permReadAccount, permUpdateAccount, permVault, permRealms, permReadTokens, permCreateTokens,
		permProjectsRead, permContainersRead, permContainersCreate}
}

// allowed reports whether the caller may do what permission names.
func allowed(caller auth.Identity, permission string) bool {
	return caller.Kind == auth.Session || caller.Kind == auth.Token && caller.Grant != nil &&
		caller.Grant.Allows(permission)
}

// demand is 403 INSUFFICIENT_PERMISSIONS unless the caller may do what permission names.
func demand(caller auth.Identity, permission string) error {
	if !allowed(caller, permission) {
		return apperr.InsufficientPermissions()
	}
	return nil
}

// demandSession is 403 INSUFFICIENT_PERMISSIONS for auth tokens, whatever they grant.
func demandSession(caller auth.Identity) error {
	if caller.Kind != auth.Session {
		return apperr.InsufficientPermissions()
	}
	return nil
}

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
	for _, path := range knownPermissions() {
		if !out.allows(path) || slices.Contains(allowed, path) {
			continue
		}
		group, name, _ := strings.Cut(path, ".")
		branch, ok := out[group].(permissionTree)
		if !ok {
			branch, _ = treeOf(knownPermissions()...)[group].(permissionTree)
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
			treeOf(knownPermissions()...)},
		{"external_customer", "See projects and containers, and nothing of the account but its public face.",
			treeOf(permProjectsRead, permContainersRead)},
		{"dev_team", "Work with the vault, projects, containers and realms.",
			treeOf(permReadAccount, permVault, permRealms, permProjectsRead, permContainersRead, permContainersCreate)},
		{"finance_team", "Read the account and what it has, for accounting.",
			treeOf(permReadAccount, permProjectsRead, permContainersRead)},
		{"read_only", "Read everything but the vault, change nothing.",
			treeOf(permReadAccount, permRealms, permReadTokens, permProjectsRead, permContainersRead)},
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
