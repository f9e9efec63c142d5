package main

import (
	"github.com/truehop/truehop/cmd/truehop/internal/app"
	"github.com/truehop/truehop/cmd/truehop/internal/config"
	"github.com/truehop/truehop/cmd/truehop/internal/ui"
)

// serviceOf is a service that does not run.
func serviceOf(cfg *config.Config, a *app.App, log *ui.Log) *service {
	s := newService(cfg, log)
	s.app = a
	return s
}
