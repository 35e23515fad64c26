package trace

import (
	"errors"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"

	sdk "go.opentelemetry.io/otel/sdk/trace"

	"github.com/realmgate/realmgate/pkg/config"
)

// Config is the supported part of the OpenTelemetry environment. Times are plain numbers of
// milliseconds, as in OpenTelemetry.
type Config struct {
	Exporter       string            `env:"OTEL_TRACES_EXPORTER" envDefault:"none" doc:"none, or otlp: send traces over OTLP/HTTP."`
	Endpoint       string            `env:"OTEL_EXPORTER_OTLP_ENDPOINT" envDefault:"http://127.0.0.1:4318" doc:"Collector of traces; /v1/traces is added."`
	TracesEndpoint string            `env:"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT" doc:"The same as a whole URL, to which nothing is added."`
	Protocol       string            `env:"OTEL_EXPORTER_OTLP_PROTOCOL" envDefault:"http/protobuf" doc:"http/protobuf is the only one."`
	Headers        config.Secret     `env:"OTEL_EXPORTER_OTLP_HEADERS" doc:"Headers for the collector, such as a key: name=value,name=value."`
	Timeout        int               `env:"OTEL_EXPORTER_OTLP_TIMEOUT" envDefault:"10000" doc:"Milliseconds for one batch, its repetitions included."`
	Sampler        string            `env:"OTEL_TRACES_SAMPLER" envDefault:"parentbased_always_on" doc:"always_on, always_off or traceidratio, perhaps behind parentbased_; the gateway ignores the choice of clients."`
	SamplerArg     string            `env:"OTEL_TRACES_SAMPLER_ARG" envDefault:"1" doc:"Of traceidratio: the share of traces to keep, 0 to 1."`
	ServiceName    string            `env:"OTEL_SERVICE_NAME" doc:"Name in traces instead of the service's own."`
	Resource       ResourceAttribute `env:"OTEL_RESOURCE_ATTRIBUTES" doc:"What every span says about where it comes from: name=value,name=value."`
	Disabled       bool              `env:"OTEL_SDK_DISABLED" envDefault:"false" doc:"Switches traces off whatever the rest says."`
	QueueSize      int               `env:"OTEL_BSP_MAX_QUEUE_SIZE" envDefault:"2048" doc:"Spans that may wait to be sent; more are dropped."`
	BatchSize      int               `env:"OTEL_BSP_MAX_EXPORT_BATCH_SIZE" envDefault:"512" doc:"Most spans of one batch."`
	ScheduleDelay  int               `env:"OTEL_BSP_SCHEDULE_DELAY" envDefault:"5000" doc:"Milliseconds that a span waits for its batch at most."`
}

// on reports whether traces are sent.
func (c Config) on() bool { return c.Exporter == "otlp" && !c.Disabled }

// Validate checks the rules that tags cannot express.
func (c Config) Validate() error {
	if !c.on() && (c.Exporter == "none" || c.Exporter == "otlp" || c.Exporter == "") {
		return nil
	}
	var p config.Problems
	p.Must(c.Exporter == "otlp", "OTEL_TRACES_EXPORTER must be none or otlp")
	p.Must(c.Protocol == "http/protobuf", "OTEL_EXPORTER_OTLP_PROTOCOL must be http/protobuf")
	for _, read := range []func() error{
		func() error { _, err := c.url(); return err },
		func() error { _, err := c.headers(); return err },
		func() error { _, err := c.sampler(); return err },
	} {
		err := read()
		p.Must(err == nil, "%w", err)
	}
	p.Must(c.Timeout >= 1, "OTEL_EXPORTER_OTLP_TIMEOUT must be at least 1")
	p.Must(c.QueueSize >= 1, "OTEL_BSP_MAX_QUEUE_SIZE must be at least 1")
	p.Must(c.BatchSize >= 1 && c.BatchSize <= max(c.QueueSize, 1),
		"OTEL_BSP_MAX_EXPORT_BATCH_SIZE must be at least 1 and at most OTEL_BSP_MAX_QUEUE_SIZE")
	p.Must(c.ScheduleDelay >= 1, "OTEL_BSP_SCHEDULE_DELAY must be at least 1")
	return p.Err()
}

// endpointExample is the example of a collector's address in error messages.
const endpointExample = "http://host:4318 or https://user:password@host:4318"

// url returns the URL to which batches are sent.
func (c Config) url() (string, error) {
	name, text := "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", c.TracesEndpoint
	if text == "" {
		name, text = "OTEL_EXPORTER_OTLP_ENDPOINT", strings.TrimSuffix(c.Endpoint, "/")+"/v1/traces"
	}
	u, err := config.SecretURL(name, text, endpointExample, "http", "https")
	if err != nil || u.Host == "" {
		return "", config.SecretURLError(name, endpointExample)
	}
	return text, nil
}

var (
	errHeaders = errors.New("OTEL_EXPORTER_OTLP_HEADERS must be name=value,name=value with values that are " +
		"percent-encoded (a comma as %2C)")
	headerName = regexp.MustCompile("^[-!#$%&'*+.^_`|~0-9A-Za-z]+$") // a token of RFC 9110
)

// headers reads the list of headers, whose values are percent-encoded.
func (c Config) headers() (map[string]string, error) {
	pairs, err := pairs(c.Headers.Reveal())
	for name, value := range pairs {
		// net/http quotes a header that it refuses, and the name may be the rest of a secret value with a comma in it.
		if !headerName.MatchString(name) || strings.ContainsFunc(value, unicode.IsControl) {
			err = errHeaders
		}
	}
	if err != nil {
		return nil, errHeaders
	}
	return pairs, nil
}

// sampler returns the sampler that OTEL_TRACES_SAMPLER names.
func (c Config) sampler() (sdk.Sampler, error) {
	kind, parentBased := strings.CutPrefix(c.Sampler, "parentbased_")
	var s, ingress sdk.Sampler
	switch kind {
	case "always_on":
		s, ingress = sdk.AlwaysSample(), sdk.AlwaysSample()
	case "always_off":
		s, ingress = sdk.NeverSample(), sdk.NeverSample()
	case "traceidratio":
		share, err := strconv.ParseFloat(c.SamplerArg, 64)
		if err != nil || !(share >= 0 && share <= 1) {
			return nil, errors.New("OTEL_TRACES_SAMPLER_ARG must be 0 to 1")
		}
		s, ingress = sdk.TraceIDRatioBased(share), ratioSampler(share)
	default:
		return nil, errors.New("OTEL_TRACES_SAMPLER must be always_on, always_off, traceidratio or one of " +
			"them behind parentbased_")
	}
	if parentBased {
		s = sdk.ParentBased(s)
	}
	return ingressSampler{internal: s, ingress: ingress}, nil
}

func (c Config) timeout() time.Duration { return time.Duration(c.Timeout) * time.Millisecond }

// ResourceAttribute is a list of attributes, name=value,name=value.
type ResourceAttribute map[string]string

// UnmarshalText reads the list; values are percent-encoded.
func (r *ResourceAttribute) UnmarshalText(text []byte) (err error) {
	*r, err = pairs(string(text))
	return err
}

// pairs reads name=value,name=value with percent-encoded values.
func pairs(list string) (map[string]string, error) {
	out := map[string]string{}
	for pair := range strings.SplitSeq(list, ",") {
		if strings.TrimSpace(pair) == "" {
			continue
		}
		name, value, ok := strings.Cut(pair, "=")
		value, err := url.PathUnescape(strings.TrimSpace(value))
		if name = strings.TrimSpace(name); !ok || name == "" || err != nil {
			return nil, errors.New("it must be name=value,name=value")
		}
		out[name] = value
	}
	return out, nil
}
