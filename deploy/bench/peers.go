package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
)

// peer is a forwarder that the gateway is compared with: it passes every request to upstream.
type peer struct {
	name string
	// start runs the peer on addr in front of upstream; dir is a folder of its own.
	start func(ctx context.Context, b *bench, dir, addr, upstream string) (*process, error)
}

// peers returns the forwarders. All do the same work: they keep connections alive on both sides,
// forward, and write no access log. Each may use every CPU.
func peers() []peer {
	return []peer{
		{"nginx", startNginx},
		{"HAProxy", startHAProxy},
		{"Caddy", startCaddy},
		{"net/http ReverseProxy", func(_ context.Context, b *bench, _, addr, upstream string) (*process, error) {
			return b.role("reverseproxy", addr, upstream)
		}},
		{bareName, func(_ context.Context, b *bench, _, addr, upstream string) (*process, error) {
			return b.role("bare", addr, upstream)
		}},
	}
}

const bareName = "Fiber + HostClient, bare"

func startNginx(ctx context.Context, b *bench, dir, addr, upstream string) (*process, error) {
	program, err := b.tools.debian(ctx, "nginx", "nginx-light")
	if err != nil {
		return nil, err
	}
	user := ""
	if os.Geteuid() == 0 {
		user = "user root;" // the temporary folder belongs to root only
	}
	config := fmt.Sprintf(`%s
daemon off; worker_processes %d; pid %[3]s/pid; error_log stderr crit;
events { worker_connections 4096; }
http {
  access_log off; keepalive_requests 1000000000; keepalive_timeout 120s;
  client_body_temp_path %[3]s/body; proxy_temp_path %[3]s/proxy; fastcgi_temp_path %[3]s/fastcgi; uwsgi_temp_path %[3]s/uwsgi; scgi_temp_path %[3]s/scgi;
  upstream bench { server %[5]s; keepalive %[6]d; keepalive_requests 1000000000; }
  server {
    listen %[4]s;
    location / { proxy_pass http://bench; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host; }
  }
}
`, user, runtime.NumCPU(), dir, addr, upstream, upstreamConns)
	path, err := writeFile(dir, "nginx.conf", config)
	if err != nil {
		return nil, err
	}
	return b.start("nginx", program, nil, "-c", path, "-p", dir, "-e", "stderr")
}

func startHAProxy(ctx context.Context, b *bench, dir, addr, upstream string) (*process, error) {
	program, err := b.tools.debian(ctx, "haproxy", "haproxy")
	if err != nil {
		return nil, err
	}
	config := fmt.Sprintf(`global
  nbthread %d
  maxconn 4096
defaults
  mode http
  timeout connect 5s
  timeout client 120s
  timeout server 30s
  option http-keep-alive
  http-reuse always
frontend bench
  bind %s
  default_backend upstream
backend upstream
  server one %s pool-max-conn %d
`, runtime.NumCPU(), addr, upstream, upstreamConns)
	path, err := writeFile(dir, "haproxy.cfg", config)
	if err != nil {
		return nil, err
	}
	return b.start("haproxy", program, nil, "-db", "-f", path)
}

func startCaddy(ctx context.Context, b *bench, dir, addr, upstream string) (*process, error) {
	program, err := b.tools.install(ctx, caddyModule, "caddy")
	if err != nil {
		return nil, err
	}
	config := fmt.Sprintf(`{
	admin off
	auto_https off
	persist_config off
	log {
		level ERROR
	}
}
http://%s {
	reverse_proxy %s {
		transport http {
			keepalive_idle_conns %d
			keepalive_idle_conns_per_host %[3]d
		}
	}
}
`, addr, upstream, upstreamConns)
	path, err := writeFile(dir, "Caddyfile", config)
	if err != nil {
		return nil, err
	}
	return b.start("caddy", program, []string{"XDG_DATA_HOME=" + dir, "XDG_CONFIG_HOME=" + dir}, "run", "--config",
		path, "--adapter", "caddyfile")
}

func writeFile(dir, name, content string) (string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	path := filepath.Join(dir, name)
	return path, os.WriteFile(path, []byte(content), 0o600)
}
