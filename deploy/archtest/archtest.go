// Package archtest provides the architecture tests of all six modules: which package may import
// which, how long files and functions may be, and that every package has a comment. Start reading
// at the table of rules in archtest_test.go.
package archtest
