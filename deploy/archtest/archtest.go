// Package archtest provides the architecture tests of all six modules: allowed imports between
// packages, limits on the length of files and functions, and a comment on every package. Start
// reading at the table of rules in archtest_test.go.
package archtest
