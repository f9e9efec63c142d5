package main

import (
	"runtime/debug"
	"testing"
)

// TestVersionText: what the toolchain recorded of a build is what --version tells.
func TestVersionText(t *testing.T) {
	host := []debug.BuildSetting{{Key: "GOOS", Value: "linux"}, {Key: "GOARCH", Value: "arm64"}}
	commit := []debug.BuildSetting{{Key: "vcs.revision", Value: "0123456789abcdef0123456789abcdef01234567"}, {Key: "vcs.time", Value: "2026-03-01T12:00:00Z"}}
	for _, tc := range []struct {
		name, version string
		settings      []debug.BuildSetting
		want          string
	}{
		{"a release", "v1.2.3", append(commit, host...), "v1.2.3 (commit 0123456789ab, 2026-03-01T12:00:00Z, go1.26.0 linux/arm64)"},
		{"a working tree", "v1.2.4-0.20260301120000-0123456789ab+dirty",
			append(append(commit, debug.BuildSetting{Key: "vcs.modified", Value: "true"}), host...),
			"v1.2.4-0.20260301120000-0123456789ab+dirty (commit 0123456789ab with changes, 2026-03-01T12:00:00Z, go1.26.0 linux/arm64)"},
		{"from the module proxy", "v1.2.3", host, "v1.2.3 (go1.26.0 linux/arm64)"},
		{"without a repository", "", host, "(devel) (go1.26.0 linux/arm64)"},
		{"a short revision", "v1.2.3", append([]debug.BuildSetting{{Key: "vcs.revision", Value: "42"}}, host...), "v1.2.3 (commit 42, go1.26.0 linux/arm64)"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			info := &debug.BuildInfo{GoVersion: "go1.26.0", Main: debug.Module{Version: tc.version}, Settings: tc.settings}
			if got := versionText(info); got != tc.want {
				t.Errorf("got  %s\nwant %s", got, tc.want)
			}
		})
	}
}
