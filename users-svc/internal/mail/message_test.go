package mail

import (
	"html"
	"strings"
	"testing"
)

// TestTemplatesHaveTheirValues: render knows every value of every template, and no value becomes
// markup or another placeholder.
func TestTemplatesHaveTheirValues(t *testing.T) {
	t.Parallel()
	plain := func(s string) string { return s }
	for _, name := range []string{"verify", "reset", "known", "email_change", "email_notice", "email_taken"} {
		m := Message{Template: name, App: "App", Name: "Ada", Link: "https://example.com/x#token=a&b",
			URL: "https://example.com", Hours: 7}
		for ending, escape := range map[string]func(string) string{".txt": plain, ".html": html.EscapeString} {
			got, err := m.render(ending, escape)
			if err != nil || strings.Contains(got, "{{") || !strings.Contains(got, "Hello Ada,") ||
				!strings.Contains(got, "App") {
				t.Errorf("%s%s: %v\n%s", name, ending, err, got)
			}
			link := escape(m.Link)
			if name != "known" && name != "email_taken" && (!strings.Contains(got, link) || !strings.Contains(got, "7 hour")) {
				t.Errorf("%s%s lacks %s and how long it is good for:\n%s", name, ending, link, got)
			}
		}
		m.Name = `{{.Link}}<b onclick="x">'&`
		got, _ := m.render(".html", html.EscapeString)
		if !strings.Contains(got, "Hello {{.Link}}&lt;b onclick=&#34;x&#34;&gt;&#39;&amp;,") {
			t.Errorf("%s: a name became something else:\n%s", name, got)
		}
	}
	if _, err := (Message{Template: "none"}).render(".txt", plain); err == nil {
		t.Error("a message without a template")
	}
}
