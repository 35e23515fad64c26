// Package acceptance provides the tests of everything that an operator is given: the compose file,
// the image, the Helm chart, alert rules, dashboards and runbooks. Every setting is compared with
// the binaries' own, every metric with the sources, and the services of the compose file are started
// as processes, from its environment. Start reading at compose_test.go; stack_test.go starts the
// services.
package acceptance
