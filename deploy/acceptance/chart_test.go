package acceptance

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/realmgate/realmgate/pkg/testkit"
)

const chart = root + "/deploy/helm/realmgate"

// kubernetesVersion is the newest version that the validator has schemas for.
const kubernetesVersion = "1.30"

// object is a Kubernetes object decoded from YAML.
type object map[string]any

// at follows keys and indexes into an object. It returns nil if one of them is missing.
func (o object) at(path ...any) any {
	var v any = map[string]any(o)
	for _, step := range path {
		switch s := step.(type) {
		case string:
			m, ok := v.(map[string]any)
			if !ok {
				return nil
			}
			v = m[s]
		case int:
			l, ok := v.([]any)
			if !ok || s >= len(l) {
				return nil
			}
			v = l[s]
		}
	}
	return v
}

func (o object) name() string { s, _ := o.at("metadata", "name").(string); return s }
func (o object) kind() string { s, _ := o["kind"].(string); return s }

// render renders the chart as release "rg" and returns its objects. Objects of Kubernetes itself
// are validated against their schemas.
func render(t *testing.T, values ...string) []object {
	t.Helper()
	args := []string{"template", "rg", ".", "--namespace", "realmgate", "--kube-version", kubernetesVersion + ".0"}
	for _, v := range values {
		args = append(args, "--set", v)
	}
	out, _ := run(t, chart, tool(t, "helm"), args...)
	var all []object
	var builtIn bytes.Buffer
	for d := yaml.NewDecoder(strings.NewReader(out)); ; {
		var o map[string]any // with object the decoder would use that type for nested maps too
		err := d.Decode(&o)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if o == nil {
			continue
		}
		all = append(all, object(o))
		if v, _ := o["apiVersion"].(string); !strings.HasPrefix(v, "monitoring.coreos.com/") {
			raw, err := yaml.Marshal(o)
			if err != nil {
				t.Fatal(err)
			}
			builtIn.WriteString("---\n")
			builtIn.Write(raw)
		}
	}
	path := filepath.Join(t.TempDir(), "rendered.yaml")
	if err := os.WriteFile(path, builtIn.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, t.TempDir(), tool(t, "kubectl-validate"), path, "--version", kubernetesVersion)
	return all
}

func find(t *testing.T, all []object, kind, name string) object {
	t.Helper()
	i := slices.IndexFunc(all, func(o object) bool { return o.kind() == kind && o.name() == name })
	if i < 0 {
		t.Fatalf("no %s %s", kind, name)
	}
	return all[i]
}

func TestChartLints(t *testing.T) {
	t.Parallel()
	run(t, chart, tool(t, "helm"), "lint", "--strict", "--kube-version", kubernetesVersion+".0", ".")
}

func helmCommand(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := testkit.Command(t, tool(t, "helm"), args...)
	cmd.Dir = chart
	return cmd
}

func TestChartRefusesUnknownValues(t *testing.T) {
	t.Parallel()
	for _, v := range []string{"gatway.replicas=3", "vaultSvc.replica=3", "usersSvc.replicas=many",
		"gateway.journal.persistent=maybe",
		"settings.ADMIN_ADDR=:1", "gateway.settings.GATEWAY_ADDR=:1", "vaultSvc.settings.DATABASE_MIGRATE=true",
		"usersSvc.env[0].name=ADMIN_ADDR",
		"gateway.disruption.maxUnavailable=0", "vaultSvc.disruption.maxUnavailable=0%"} {
		cmd := helmCommand(t, "template", "rg", ".", "--kube-version", kubernetesVersion+".0", "--set", v)
		if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "schema") {
			t.Errorf("--set %s: got %v, want a refusal by the schema", v, err)
		}
	}
}

func TestChartWorkloads(t *testing.T) {
	t.Parallel()
	all := render(t, "usersSvc.adminEmail=admin@example.com")
	p := project(t)
	for _, name := range ours {
		kind := map[bool]string{true: "StatefulSet", false: "Deployment"}[name == "gateway"]
		w := find(t, all, kind, "rg-"+name)
		pod := object(w.at("spec", "template", "spec").(map[string]any))
		c := object(pod.at("containers", 0).(map[string]any))
		environ := environOf(c)
		holdSettings(t, "the chart", name, environ)
		for k, v := range environ {
			file := p.Services[name].Environment[k]
			// In the compose file the services share a folder of secrets, so each has its own file
			// for NATS.
			if strings.HasSuffix(k, "_FILE") && k != "NATS_URL_FILE" && (file == nil || *file != v) {
				t.Errorf("%s: %s=%s is another file than in docker-compose.yml", name, k, v)
			}
		}
		if pod.at("securityContext", "runAsNonRoot") != true ||
			c.at("securityContext", "readOnlyRootFilesystem") != true ||
			c.at("securityContext", "allowPrivilegeEscalation") != false ||
			pod.at("automountServiceAccountToken") != false {
			t.Errorf("%s has more rights than it needs", name)
		}
		for probe, path := range map[string]string{"startupProbe": "/livez", "readinessProbe": "/readyz",
			"livenessProbe": "/livez"} {
			if c.at(probe, "httpGet", "path") != path || c.at(probe, "httpGet", "port") != "admin" {
				t.Errorf("%s: %s is %v", name, probe, c.at(probe))
			}
		}
		if c.at("resources", "limits", "memory") == nil || c.at("resources", "requests", "cpu") == nil {
			t.Errorf("%s has no resources", name)
		}
		hpa := find(t, all, "HorizontalPodAutoscaler", "rg-"+name)
		if hpa.at("spec", "scaleTargetRef", "name") != "rg-"+name || hpa.at("spec", "scaleTargetRef", "kind") != kind ||
			w.at("spec", "replicas") != nil {
			t.Errorf("%s is not scaled by its HorizontalPodAutoscaler alone", name)
		}
		find(t, all, "PodDisruptionBudget", "rg-"+name)
	}
}

func environOf(container object) map[string]string {
	out := map[string]string{}
	vars, _ := container["env"].([]any)
	for _, v := range vars {
		o := object(v.(map[string]any))
		value, _ := o["value"].(string)
		out[o["name"].(string)] = value
	}
	return out
}

// TestChartNamesAndPortsAgree checks that the addresses in the gateway's settings exist, that they
// resolve to each replica, and that network policies admit only the gateway.
func TestChartNamesAndPortsAgree(t *testing.T) {
	t.Parallel()
	all := render(t)
	gateway := environOf(object(find(t, all, "StatefulSet", "rg-gateway").at("spec", "template", "spec", "containers",
		0).(map[string]any)))
	for setting, name := range map[string]string{"USERS_URL": "users-svc", "VAULT_URL": "vault-svc",
		"ACTIVITY_URL": "activity-svc"} {
		m := regexp.MustCompile(`^http://(rg-` + name + `):(\d+)$`).FindStringSubmatch(gateway[setting])
		if m == nil {
			t.Fatalf("%s is %q", setting, gateway[setting])
		}
		svc := find(t, all, "Service", m[1])
		container := object(find(t, all, "Deployment", m[1]).at("spec", "template", "spec", "containers",
			0).(map[string]any))
		addr := environOf(container)[strings.TrimSuffix(setting, "_URL")+"_ADDR"]
		if svc.at("spec", "clusterIP") != "None" || addr != ":"+m[2] ||
			container.at("ports", 0, "containerPort") != svc.at("spec", "ports", 0, "port") {
			t.Errorf("%s: service %v, address %s, wanted port %s", name, svc.at("spec"), addr, m[2])
		}
		policy := find(t, all, "NetworkPolicy", m[1])
		from, _ := policy.at("spec", "ingress", 0, "from").([]any)
		if len(from) != 1 || policy.at("spec", "ingress", 1) != nil ||
			policy.at("spec", "ingress", 0, "from", 0, "podSelector", "matchLabels",
				"app.kubernetes.io/name") != "gateway" {
			t.Errorf("%s lets in more than the gateway: %v", name, policy.at("spec", "ingress"))
		}
		migrate := find(t, all, "Job", m[1]+"-migrate")
		job := object(migrate.at("spec", "template", "spec", "containers", 0).(map[string]any))
		holdSettings(t, "the migration job", name, environOf(job))
		if job.at("args", 0) != "-migrate" || environOf(container)["DATABASE_MIGRATE"] != "false" {
			t.Errorf("%s migrates at its start beside the job", name)
		}
	}
	nobody := find(t, all, "NetworkPolicy", "rg-nobody")
	if nobody.at("spec", "ingress") != nil {
		t.Error("the policy that denies all ingress allows some")
	}
}

func TestChartVariants(t *testing.T) {
	t.Parallel()
	t.Run("a gateway without a volume", func(t *testing.T) {
		w := find(t, render(t, "gateway.journal.persistent=false"), "StatefulSet", "rg-gateway")
		if w.at("spec", "volumeClaimTemplates") != nil ||
			w.at("spec", "template", "spec", "volumes", 1, "emptyDir") == nil {
			t.Errorf("volumes: %v", w.at("spec", "template", "spec", "volumes"))
		}
	})
	t.Run("fixed numbers of replicas, migrations at the start", func(t *testing.T) {
		all := render(t, "vaultSvc.autoscaling.enabled=false", "vaultSvc.replicas=5", "migrations.job=false")
		w := find(t, all, "Deployment", "rg-vault-svc")
		if w.at("spec", "replicas") != 5 {
			t.Errorf("replicas: got %v, want 5", w.at("spec", "replicas"))
		}
		environ := environOf(object(w.at("spec", "template", "spec", "containers", 0).(map[string]any)))
		if slices.ContainsFunc(all, func(o object) bool { return o.kind() == "Job" }) ||
			environ["DATABASE_MIGRATE"] != "true" {
			t.Error("the service does not migrate at its start, or a job does")
		}
	})
	t.Run("activity by consumer lag", func(t *testing.T) {
		hpa := find(t, render(t, "activitySvc.autoscaling.lag.enabled=true"), "HorizontalPodAutoscaler",
			"rg-activity-svc")
		if hpa.at("spec", "metrics", 1, "external", "metric", "name") != "realmgate_activity_lag" {
			t.Errorf("metrics: %v", hpa.at("spec", "metrics"))
		}
	})
	t.Run("a setting of one service wins over the chart's", func(t *testing.T) {
		all := render(t, "usersSvc.settings.LOG_LEVEL=debug", "usersSvc.settings.SIGNUP_ENABLED=false")
		environ := environOf(object(find(t, all, "Deployment", "rg-users-svc").at("spec", "template", "spec",
			"containers", 0).(map[string]any)))
		if environ["LOG_LEVEL"] != "debug" || environ["SIGNUP_ENABLED"] != "false" {
			t.Errorf("settings: %v", environ)
		}
	})
	t.Run("everything else switched on", func(t *testing.T) {
		all := render(t, "gateway.ingress.enabled=true", "gateway.ingress.tlsSecretName=tls",
			"serviceMonitor.enabled=true", "prometheusRule.enabled=true", "dashboards.enabled=true")
		if host := find(t, all, "Ingress", "rg-gateway").at("spec", "rules", 1,
			"host"); host != "*.realmgate.example.com" {
			t.Errorf("the realms' host: got %v", host)
		}
		monitor := find(t, all, "ServiceMonitor", "rg")
		if monitor.at("spec", "endpoints", 0, "port") != "admin" ||
			monitor.at("spec", "selector", "matchLabels", "app.kubernetes.io/part-of") != "realmgate" {
			t.Errorf("ServiceMonitor: %v", monitor["spec"])
		}
		groups, _ := find(t, all, "PrometheusRule", "rg").at("spec", "groups").([]any)
		if len(groups) < 4 {
			t.Errorf("PrometheusRule: got %d groups", len(groups))
		}
		find(t, all, "ConfigMap", "rg-dashboard-overview")
	})
}

// TestChartRefusesReplicasBesideAutoscaling: one of the two settings would be ignored.
func TestChartRefusesReplicasBesideAutoscaling(t *testing.T) {
	t.Parallel()
	for _, part := range []string{"gateway", "usersSvc", "vaultSvc", "activitySvc"} {
		cmd := helmCommand(t, "template", "rg", ".", "--kube-version", kubernetesVersion+".0", "--set",
			part+".replicas=3")
		if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "exclude each other") {
			t.Errorf("%s.replicas beside autoscaling: %v", part, err)
		}
	}
}

// TestChartPodsTakeTheOperatorsSettings checks the settings that an operator may add to every pod,
// and the egress that the release may use.
func TestChartPodsTakeTheOperatorsSettings(t *testing.T) {
	t.Parallel()
	values := []string{"serviceAccount.create=true", "networkPolicy.egress.enabled=true",
		"networkPolicy.egress.rules[0].ports[0].port=5432"}
	for _, part := range []string{"gateway", "usersSvc", "vaultSvc", "activitySvc"} {
		values = append(values, part+".podAnnotations.team=ours", part+".priorityClassName=high",
			part+".extraVolumes[0].name=certs",
			part+".extraVolumes[0].secret.secretName=certs", part+".extraVolumeMounts[0].name=certs",
			part+".extraVolumeMounts[0].mountPath=/certs")
	}
	all := render(t, values...)
	for _, name := range ours {
		kind := map[bool]string{true: "StatefulSet", false: "Deployment"}[name == "gateway"]
		pod := object(find(t, all, kind, "rg-"+name).at("spec", "template").(map[string]any))
		if pod.at("metadata", "annotations", "team") != "ours" ||
			pod.at("metadata", "annotations", "checksum/secret") == nil ||
			pod.at("spec", "priorityClassName") != "high" || pod.at("spec", "serviceAccountName") != "rg" ||
			pod.at("spec", "volumes", 1, "name") != "certs" ||
			pod.at("spec", "containers", 0, "volumeMounts", 1, "mountPath") == nil {
			t.Errorf("%s: %v", name, pod)
		}
	}
	find(t, all, "ServiceAccount", "rg")
	if egress := find(t, all, "NetworkPolicy", "rg-egress"); egress.at("spec", "egress", 2, "ports", 0,
		"port") != 5432 {
		t.Errorf("egress: %v", egress["spec"])
	}
}

// TestChartServicesHaveTheirOwnKeys checks which internal keys a service gets. The shared key of
// the previous release may exist only while both releases run.
func TestChartServicesHaveTheirOwnKeys(t *testing.T) {
	t.Parallel()
	for value, shared := range map[string]bool{"sharedInternalKeys=false": false, "sharedInternalKeys=true": true} {
		all := render(t, value)
		for _, name := range ours {
			kind := map[bool]string{true: "StatefulSet", false: "Deployment"}[name == "gateway"]
			w := find(t, all, kind, "rg-"+name)
			environ := environOf(object(w.at("spec", "template", "spec", "containers", 0).(map[string]any)))
			holdSettings(t, "the chart", name, environ)
			if _, ok := environ["INTERNAL_KEYS_FILE"]; ok != shared {
				t.Errorf("%s: %s has the key of all: %v, want %v", value, name, ok, shared)
			}
			for _, service := range []string{"users", "vault", "activity"} {
				_, ok := environ[strings.ToUpper(service)+"_INTERNAL_KEYS_FILE"]
				if want := name == "gateway" || name == service+"-svc"; ok != want {
					t.Errorf("%s: %s has the key of %s: %v, want %v", value, name, service, ok, want)
				}
			}
		}
	}
}
