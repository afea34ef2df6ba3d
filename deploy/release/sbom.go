package main

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"strings"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

// sbom lists the modules that are in a binary, as the go command wrote them into it. Each has the hash that go.sum knows it by.
func (b *binary) sbom() ([]byte, error) {
	component := func(path, version, sum string) cdx.Component {
		c := cdx.Component{
			BOMRef: "pkg:golang/" + path + "@" + version, Type: cdx.ComponentTypeLibrary, Name: path, Version: version,
			PackageURL: "pkg:golang/" + path + "@" + version + "?type=module",
		}
		if h1, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(sum, "h1:")); sum != "" && err == nil {
			c.Hashes = &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: hex.EncodeToString(h1)}}
		}
		return c
	}
	subject := component(b.info.Main.Path, b.info.Main.Version, "")
	subject.Type = cdx.ComponentTypeApplication
	subject.Name = "nim-sidecar"
	subject.Licenses = &cdx.Licenses{{License: &cdx.License{ID: "Apache-2.0"}}}
	parts := []cdx.Component{component("std", strings.TrimPrefix(b.info.GoVersion, "go"), "")}
	for _, d := range b.info.Deps {
		if d.Replace != nil {
			d = d.Replace
		}
		parts = append(parts, component(d.Path, d.Version, d.Sum))
	}
	needs := make([]string, len(parts))
	for i := range parts {
		needs[i] = parts[i].BOMRef
	}
	bom := cdx.NewBOM()
	bom.Metadata = &cdx.Metadata{
		Timestamp: b.setting("vcs.time"), Component: &subject,
		Properties: &[]cdx.Property{{Name: "target", Value: b.os + "/" + b.arch}, {Name: "commit", Value: b.setting("vcs.revision")}},
	}
	bom.Components = &parts
	bom.Dependencies = &[]cdx.Dependency{{Ref: subject.BOMRef, Dependencies: &needs}}
	var out bytes.Buffer
	err := cdx.NewBOMEncoder(&out, cdx.BOMFileFormatJSON).SetPretty(true).Encode(bom)
	return out.Bytes(), err
}
