// Package house owns the tests that hold the rules of the house for all six modules: who may import
// whom, how long a file and a function may be, and that every package says what it owns. Start
// reading at the tables in house_test.go.
package house
