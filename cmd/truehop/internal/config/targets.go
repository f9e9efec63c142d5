package config

import (
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/v2"
	"go.yaml.in/yaml/v4"
)

const (
	// injectKey holds the targets.
	injectKey = "inject"
	// MainTarget is the name of the one whose keys stand directly below that.
	MainTarget = "main"
)

func targetsType() reflect.Type { return reflect.TypeFor[map[string]*Target]() }

// targets walks what is below inject: targets by name, as soon as one key holds keys, else the keys of one.
// No key of a target holds keys, so that a target can have any name.
func (s *schema) targets(n *yaml.Node, path string) map[string]any {
	named := false
	if n.Kind == yaml.MappingNode {
		for i := 1; i < len(n.Content); i += 2 {
			named = named || n.Content[i].Kind == yaml.MappingNode
		}
	}
	if !named {
		keys := s.mapping(n, path, reflect.TypeFor[Target]())
		for key := range keys {
			s.flat = append(s.flat, join(path, key))
		}
		return map[string]any{MainTarget: keys}
	}
	s.named = true
	only := *n
	only.Content = nil
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if value.Kind == yaml.ScalarNode || value.Kind == yaml.SequenceNode {
			if at := join(path, key.Value); slices.Contains(names(fields(reflect.TypeFor[Target]())), key.Value) {
				s.places[at] = s.at(value)
				s.flat = append(s.flat, at)
				continue
			}
		}
		only.Content = append(only.Content, key, value)
	}
	return s.mapping(&only, path, targetsType())
}

// canonical is the path at which the value of a key is kept: the target without a name has one there.
func canonical(path string) string {
	if key, ok := strings.CutPrefix(path, injectKey+delim); ok && !strings.Contains(key, delim) {
		return injectKey + delim + MainTarget + delim + key
	}
	return path
}

// decodeTargets makes each target of its keys over the built-in defaults, and of these alone where there is none.
func decodeTargets(k *koanf.Koanf, named bool) (map[string]*Target, error) {
	own := k.Cut(injectKey).Raw()
	if len(own) == 0 {
		own = map[string]any{MainTarget: map[string]any{}}
	}
	targets := map[string]*Target{}
	for _, name := range slices.Sorted(maps.Keys(own)) {
		layers := koanf.New(delim)
		keys, _ := own[name].(map[string]any)
		for _, m := range []map[string]any{defaults(reflect.TypeFor[Target]()), keys} {
			if err := layers.Load(confmap.Provider(m, ""), nil); err != nil {
				return nil, err
			}
		}
		t := &Target{Name: name, named: named}
		if err := layers.Unmarshal("", t); err != nil {
			return nil, err
		}
		targets[name] = t
	}
	return targets, nil
}
