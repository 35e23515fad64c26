// Package acceptance provides the tests of everything that operators get: the compose file, the
// image, the Helm chart, alert rules, dashboards and runbooks. They compare every setting with the
// binaries' settings and every metric with the sources, and start the services of the compose file
// as processes with its environment. Start reading at compose_test.go; stack_test.go starts the
// services.
package acceptance
