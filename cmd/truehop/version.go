package main

import (
	"runtime/debug"
	"strings"
)

// versionText says which build this is: the module's version, and, where the build knew the repository, the commit and
// its time. The toolchain records all of it, so no flag of a linker has to be right.
func versionText(info *debug.BuildInfo) string {
	version := info.Main.Version
	if version == "" {
		version = "(devel)"
	}
	settings := map[string]string{}
	for _, s := range info.Settings {
		settings[s.Key] = s.Value
	}
	var facts []string
	if commit := settings["vcs.revision"]; commit != "" {
		commit = "commit " + commit[:min(len(commit), 12)]
		if settings["vcs.modified"] == "true" {
			commit += " with changes"
		}
		facts = append(facts, commit)
	}
	if date := settings["vcs.time"]; date != "" {
		facts = append(facts, date)
	}
	facts = append(facts, strings.TrimSpace(info.GoVersion+" "+settings["GOOS"]+"/"+settings["GOARCH"]))
	return version + " (" + strings.Join(facts, ", ") + ")"
}
