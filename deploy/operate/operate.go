// Package operate owns the tests that hold what an operator is given: docker-compose.yml,
// deploy/Dockerfile, the Helm chart, alert rules, dashboards and runbooks. Nothing in those files
// is taken on trust: every setting is held against the binaries' own, every metric against the
// sources, and the parts of the compose file are started as processes, from its own environment.
// Start reading at compose_test.go; stack_test.go is where everything runs.
package operate
