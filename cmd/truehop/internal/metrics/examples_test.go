package metrics

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/truehop/truehop/inject"
	"github.com/truehop/truehop/schedule/transfer"
)

const monitoring = "../../../../examples/monitoring/"

// exposition is all that the metrics of a service that has done something show, by series and label.
func exposition(t *testing.T) map[string][]string {
	t.Helper()
	m := New(known())
	m.Serve([]string{"work"}, []string{"main"}, nil, nil)
	m.Event(transfer.Event{Kind: transfer.Verdict, Account: "work", State: "delivered"})
	m.Pass("work", time.Second, false)
	m.Receipt("main", inject.Receipt{})
	m.Reload(false)
	m.Reload(true)
	m.Share(func() Shared { return Shared{} })
	socket := filepath.Join(t.TempDir(), "s")
	s, err := m.Listen("unix", socket, func() ([]string, bool) { return nil, true })
	if err != nil {
		t.Fatal(err)
	}
	_, body := scrape(t, at(socket), "/metrics")
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	series := map[string][]string{}
	label := regexp.MustCompile(`(\w+)="`)
	for line := range strings.Lines(body) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		name := line[:strings.IndexAny(line, "{ ")]
		labels := []string{}
		for _, found := range label.FindAllStringSubmatch(line, -1) {
			labels = append(labels, found[1])
		}
		series[name] = labels
	}
	return series
}

// expression is a part of PromQL as far as it can be checked without its parser: names of series and their labels, brackets, quotes.
func checkExpression(t *testing.T, where, text string, series map[string][]string) {
	t.Helper()
	if strings.Count(text, "(") != strings.Count(text, ")") || strings.Count(text, "{") != strings.Count(text, "}") || strings.Count(text, `"`)%2 != 0 {
		t.Errorf("%s: brackets or quotes are not closed: %s", where, text)
	}
	names := regexp.MustCompile(`\b((?:truehop|process|go)_\w+)(?:\{([^}]*)\})?`)
	found := names.FindAllStringSubmatch(text, -1)
	if len(found) == 0 {
		t.Errorf("%s: no series in %s", where, text)
	}
	used := map[string]bool{}
	for _, f := range found {
		labels, known := series[f[1]]
		if !known {
			t.Errorf("%s: there is no series %s", where, f[1])
		}
		for _, l := range labels {
			used[l] = true
		}
		for selector := range strings.SplitSeq(f[2], ",") {
			name := regexp.MustCompile(`^\s*(\w+)`).FindString(selector)
			if name != "" && name != "job" && !slices.Contains(labels, strings.TrimSpace(name)) {
				t.Errorf("%s: %s has no label %s", where, f[1], name)
			}
		}
	}
	for _, by := range regexp.MustCompile(`by \(([^)]*)\)`).FindAllStringSubmatch(text, -1) {
		for name := range strings.SplitSeq(by[1], ",") {
			if !used[strings.TrimSpace(name)] {
				t.Errorf("%s: nothing in %s has the label %s", where, text, name)
			}
		}
	}
}

// TestAlerts: the alert rules are YAML in the form that Prometheus reads, and name series and labels that there are.
func TestAlerts(t *testing.T) {
	data, err := os.ReadFile(monitoring + "alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Groups []struct {
			Name  string `yaml:"name"`
			Rules []struct {
				Alert       string            `yaml:"alert"`
				Expr        string            `yaml:"expr"`
				For         string            `yaml:"for"`
				Labels      map[string]string `yaml:"labels"`
				Annotations map[string]string `yaml:"annotations"`
			} `yaml:"rules"`
		} `yaml:"groups"`
	}
	if err := yaml.Load(data, &file, yaml.WithKnownFields()); err != nil {
		t.Fatal(err)
	}
	series := exposition(t)
	rules := 0
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			rules++
			checkExpression(t, r.Alert, r.Expr, series)
			if r.Labels["severity"] == "" || r.Annotations["summary"] == "" {
				t.Errorf("%s has no severity or no summary", r.Alert)
			}
			for _, text := range r.Annotations {
				for _, l := range regexp.MustCompile(`\$labels\.(\w+)`).FindAllStringSubmatch(text, -1) {
					name := regexp.MustCompile(`truehop_\w+`).FindString(r.Expr)
					if !slices.Contains(series[name], l[1]) {
						t.Errorf("%s: %s has no label %s", r.Alert, name, l[1])
					}
				}
			}
		}
	}
	if rules < 5 {
		t.Errorf("%d rules", rules)
	}
}

// TestDashboard: the dashboard is JSON with panels that ask for series that there are, and every series of ours is in it or in an alert.
func TestDashboard(t *testing.T) {
	data, err := os.ReadFile(monitoring + "dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	var board struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
		Templating struct {
			List []struct{ Name, Query string }
		}
	}
	if err := json.Unmarshal(data, &board); err != nil {
		t.Fatal(err)
	}
	series := exposition(t)
	for _, p := range board.Panels {
		for _, target := range p.Targets {
			checkExpression(t, p.Title, target.Expr, series)
		}
	}
	if len(board.Panels) < 8 || len(board.Templating.List) == 0 || !strings.Contains(string(data), `"name": "account"`) {
		t.Errorf("%d panels", len(board.Panels))
	}
	alerts, err := os.ReadFile(monitoring + "alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for name := range series {
		base := strings.TrimSuffix(strings.TrimSuffix(name, "_sum"), "_count")
		if strings.HasPrefix(name, "truehop_") && !strings.Contains(string(data)+string(alerts), base) && name != "truehop_last_pass_success" {
			t.Errorf("nothing shows %s", name)
		}
	}
}
