package fetch

import "context"

type progressKey struct{}

// WithProgress has a call that takes long call alive now and then, as long as it gets ahead. It must not block.
func WithProgress(ctx context.Context, alive func()) context.Context {
	return context.WithValue(ctx, progressKey{}, alive)
}

// Progress calls what [WithProgress] was given.
func Progress(ctx context.Context) {
	if alive, ok := ctx.Value(progressKey{}).(func()); ok && alive != nil {
		alive()
	}
}
