package sight

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"strings"

	"captop/deploy/doctor"
	"captop/service/node"
)

// variable is the setting of capd that names a node.
var variable = map[string]string{"db_g1": "DB_G1_URL", "db_g2": "DB_G2_URL"}

// redis asks a node on a connection of its own.
func (l *Looker) redis(ctx context.Context, name string, auth doctor.Auth, command ...string) (string, error) {
	found, err := l.nodeURL(ctx, name)
	if err != nil {
		return "", err
	}
	address := *found
	if !auth.Configured {
		address.User = nil
		if auth.Password != "" {
			address.User = url.UserPassword("", auth.Password)
		}
	}
	client, err := node.NewClient(node.Config{Name: name, URL: address.String(), Timeout: patience})
	if err != nil {
		return "", err
	}
	defer client.Close()
	args := make([]any, len(command))
	for i, arg := range command {
		args[i] = arg
	}
	answer, err := client.Do(ctx, args...).Result()
	if err != nil {
		return "", err
	}
	return flat(answer), nil
}

// flat writes an answer as text, lists as lines.
func flat(answer any) string {
	parts, ok := answer.([]any)
	if !ok {
		return fmt.Sprint(answer)
	}
	lines := make([]string, len(parts))
	for i, part := range parts {
		lines[i] = flat(part)
	}
	return strings.Join(lines, "\n")
}

// nodeURL is where a node is, found out once.
func (l *Looker) nodeURL(ctx context.Context, name string) (*url.URL, error) {
	l.mu.Lock()
	known := l.nodes[name]
	l.mu.Unlock()
	if known != nil {
		return known, nil
	}
	found, err := l.findNode(ctx, name)
	if err == nil {
		l.mu.Lock()
		l.nodes[name] = found
		l.mu.Unlock()
	}
	return found, err
}

// findNode says where a node is: as somebody said; else in its container, with the password that the services have; else
// where captop looks by default.
func (l *Looker) findNode(ctx context.Context, name string) (*url.URL, error) {
	configured := l.config.Nodes[name]
	parsed, err := url.Parse(configured.URL)
	if err != nil {
		return nil, fmt.Errorf("the URL of %s cannot be used", name) // it may hold a password
	}
	if configured.Given {
		return parsed, nil
	}
	s, err := l.stack(ctx)
	if err != nil {
		return parsed, nil // what is not in a container is asked all the same
	}
	for _, u := range s.units {
		if u.Service != name || u.Address == "" {
			continue
		}
		inside := &url.URL{Scheme: "redis", Host: net.JoinHostPort(u.Address, "6379")}
		if theirs := l.theirURL(ctx, s, name); theirs != nil {
			inside.User = theirs.User
			if port := theirs.Port(); port != "" {
				inside.Host = net.JoinHostPort(u.Address, port)
			}
		}
		return inside, nil
	}
	if theirs := l.theirURL(ctx, s, name); theirs != nil && parsed.User == nil {
		parsed.User = theirs.User
	}
	return parsed, nil
}

// theirURL is where the services have the node, nil where that cannot be told.
func (l *Looker) theirURL(ctx context.Context, s stack, name string) *url.URL {
	for _, u := range s.units {
		if !strings.HasPrefix(u.Service, "app_") || !u.Env.OK {
			continue
		}
		text := u.Env.Value[variable[name]]
		if path := u.Env.Value[variable[name]+"_FILE"]; path != "" {
			file, err := l.readFile(ctx, u, path)
			if err != nil {
				continue
			}
			text = strings.TrimSpace(string(file.Content))
		}
		if parsed, err := url.Parse(text); err == nil && parsed.Host != "" {
			return parsed
		}
	}
	return nil
}
