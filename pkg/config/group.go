package config

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// placeholder stands for the name of an entry in the list of all settings.
const placeholder = "<NAME>"

// fillGroup sets m, a map from names to structs, from the variables PREFIX_NAME_SETTING. A name is
// made of upper-case letters, digits and underscores, and is lower-case in the map. A variable of
// an entry that is not one of its settings is an error, because it is most often a typing mistake;
// other variables with the prefix belong to other programs.
func fillGroup(m reflect.Value, vars map[string]string, prefix string) []error {
	element := m.Type().Elem()
	suffixes := suffixesOf(element)
	m.SetZero()
	var problems []error
	for _, name := range entries(element, vars, prefix) {
		if m.IsNil() {
			m.Set(reflect.MakeMap(m.Type()))
		}
		own := prefix + name + "_"
		entry := reflect.New(element).Elem()
		problems = append(problems, fill(entry, vars, own)...)
		m.SetMapIndex(reflect.ValueOf(strings.ToLower(name)), entry)
		for _, variable := range slices.Sorted(maps.Keys(vars)) {
			rest, ok := strings.CutPrefix(variable, own)
			if ok && !slices.Contains(suffixes, rest) && !inAnotherEntry(element, vars, prefix, variable, name) {
				problems = append(problems, fmt.Errorf("%s is no setting: those of %s%s end in _%s", variable, prefix, name,
					strings.Join(suffixes, ", _")))
			}
		}
	}
	return problems
}

// inAnotherEntry reports whether the variable is a setting of an entry other than name. The name of
// an entry can begin with that of another: A and A_B.
func inAnotherEntry(element reflect.Type, vars map[string]string, prefix, variable, name string) bool {
	return slices.ContainsFunc(entries(element, vars, prefix), func(other string) bool {
		rest, ok := strings.CutPrefix(variable, prefix+other+"_")
		return ok && other != name && slices.Contains(suffixesOf(element), rest)
	})
}

// groupSettings lists the settings of each entry in vars, or once with a placeholder as the name.
func groupSettings(element reflect.Type, vars map[string]string, prefix string) []Setting {
	names := entries(element, vars, prefix)
	if len(names) == 0 {
		names = []string{placeholder}
	}
	var out []Setting
	for _, name := range names {
		all := settings(element, prefix+name+"_", nil)
		if name == placeholder {
			for i := range all {
				all[i].Required = false // as long as there is no entry
			}
		}
		out = append(out, all...)
	}
	return out
}

// entries returns the names of the entries of a group that have a setting in vars, in order.
func entries(element reflect.Type, vars map[string]string, prefix string) []string {
	suffixes := suffixesOf(element)
	found := map[string]bool{}
	for variable := range vars {
		rest, ok := strings.CutPrefix(variable, prefix)
		if !ok {
			continue
		}
		// The longest setting that fits: CLIENT_SECRET_FILE rather than a FILE of CLIENT_SECRET.
		longest := ""
		for _, suffix := range suffixes {
			if strings.HasSuffix(rest, "_"+suffix) && len(suffix) > len(longest) {
				longest = suffix
			}
		}
		name := strings.TrimSuffix(rest, "_"+longest)
		if longest != "" && validEntry(name) {
			found[name] = true
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// suffixesOf returns the ends of the names of an entry's settings, with NAME_FILE of each secret.
func suffixesOf(element reflect.Type) []string {
	var out []string
	for _, s := range settings(element, "", nil) {
		if out = append(out, s.Name); s.Secret {
			out = append(out, s.Name+"_FILE")
		}
	}
	return out
}

// validEntry reports whether name is made of words of upper-case letters and digits, joined by
// single underscores.
func validEntry(name string) bool {
	for word := range strings.SplitSeq(name, "_") {
		if word == "" || strings.Trim(word, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") != "" {
			return false
		}
	}
	return true
}
