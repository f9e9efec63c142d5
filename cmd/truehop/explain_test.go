package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const explained = "Return-Path: <sender@example.com>\r\n" +
	"Received: from mx.example.org ([10.0.0.2])\r\n" +
	"\tby store.example.org with LMTP id a1; Mon, 15 Jan 2024 10:00:01 +0000\r\n" +
	"Received-SPF: pass (x) client-ip=192.0.2.10; receiver=mx.example.org\r\n" +
	"Received: from client\x1b[31m.example (mail.example.com [192.0.2.10])\r\n" +
	"\tby mx.example.org (Postfix) with ESMTPS id b2\r\n" +
	"\tfor <user@example.org>; Mon, 15 Jan 2024 10:00:00 +0000\r\n" +
	"Received: from good.example (good.example [198.51.100.7])\r\n" +
	"\tby mx.example.org (Postfix) with ESMTP id c3; Mon, 15 Jan 2024 09:59:59 +0000\r\n" +
	"Subject: hello\r\n\r\nReceived: from the body\r\n"

func writeMessage(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "message.eml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// explainTo explains files by what the flags say.
func explainTo(ctx context.Context, out io.Writer, opts explainOptions) error {
	how, err := (&program{}).filePresenter(ctx, opts)
	if err != nil {
		return err
	}
	return explainFiles(ctx, out, opts, how)
}

func explain(t *testing.T, opts explainOptions) string {
	t.Helper()
	var out bytes.Buffer
	if err := explainTo(context.Background(), &out, opts); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// The JSON object is an interface: every key is there, absent values are null.
func TestExplainJSON(t *testing.T) {
	file := writeMessage(t, explained)
	got := explain(t, explainOptions{Files: []string{file}, JSON: true, MX: []string{"mx.example.org"}, Internal: []string{"store.example.org"}, Hops: -1})
	want := `{"file":"FILE","boundary":{"found":true,"hop":2,"client":{"addr":"192.0.2.10","name":"mail.example.com","helo":"client\u001b[31m.example","port":null},` +
		`"proto":"ESMTP","authenticated":false,"why":"mx.example.org received the message from 192.0.2.10: it is the first public peer of the provider's MX",` +
		`"internal":false,"outcome":"client","provider":null,"trusted":2,"confirmed":true,"sender":"sender@example.com","recipient":"user@example.org"},` +
		`"hops":[{"helo":"mx.example.org","name":null,"addr":"10.0.0.2","by":"store.example.org","with":"LMTP","id":"a1","for":null,"time":"2024-01-15T10:00:01Z","form":"dovecot","error":null,"kind":"lmtp","verified":false,"port":null,"tls":false,"authenticated":false,"sender":null,"via":null,"tls_version":null,"tls_cipher":null,"recipients":null,"zone":"+0000","raw":" from mx.example.org ([10.0.0.2])\r\n\tby store.example.org with LMTP id a1; Mon, 15 Jan 2024 10:00:01 +0000\r\n","position":1},` +
		`{"helo":"client\u001b[31m.example","name":"mail.example.com","addr":"192.0.2.10","by":"mx.example.org","with":"ESMTPS","id":"b2","for":"user@example.org","time":"2024-01-15T10:00:00Z","form":"postfix","error":null,"kind":"smtp","verified":true,"port":null,"tls":true,"authenticated":false,"sender":null,"via":null,"tls_version":null,"tls_cipher":null,"recipients":["user@example.org"],"zone":"+0000","raw":" from client\u001b[31m.example (mail.example.com [192.0.2.10])\r\n\tby mx.example.org (Postfix) with ESMTPS id b2\r\n\tfor <user@example.org>; Mon, 15 Jan 2024 10:00:00 +0000\r\n","position":2},` +
		`{"helo":"good.example","name":"good.example","addr":"198.51.100.7","by":"mx.example.org","with":"ESMTP","id":"c3","for":null,"time":"2024-01-15T09:59:59Z","form":"postfix","error":null,"kind":"smtp","verified":true,"port":null,"tls":false,"authenticated":false,"sender":null,"via":null,"tls_version":null,"tls_cipher":null,"recipients":null,"zone":"+0000","raw":" from good.example (good.example [198.51.100.7])\r\n\tby mx.example.org (Postfix) with ESMTP id c3; Mon, 15 Jan 2024 09:59:59 +0000\r\n","position":3}],` +
		`"xclient":["XCLIENT HELO=`
	if head, _, _ := strings.Cut(got, "client+1B"); head != strings.Replace(want, "FILE", file, 1) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if strings.Count(got, "\n") != 1 || !json.Valid([]byte(got)) {
		t.Errorf("not one JSON object on one line: %q", got)
	}
}

func TestExplainJSONWithoutAnswer(t *testing.T) {
	file := writeMessage(t, "Received: hello\r\n\r\n")
	got := explain(t, explainOptions{Files: []string{file}, JSON: true, MX: []string{"mx.example.org"}})
	want := `"boundary":{"found":false,"hop":null,"client":{"addr":null,"name":null,"helo":null,"port":null},"proto":null,"authenticated":false,"why":"a field`
	if !strings.Contains(got, want) {
		t.Errorf("got %s\nwant %s", got, want)
	}
	// No address of the message is presented, and it says what is done instead.
	if !strings.Contains(got, ` ADDR=192.0.0.8"],"run":{"does":"present","why":"the client is not known: a field`) || !strings.Contains(got, `"stand_in":true,"target":null}`) {
		t.Errorf("it does not say what run would do: %s", got)
	}
	if got := explain(t, explainOptions{Files: []string{writeMessage(t, "Subject: x\r\n\r\n")}, JSON: true}); !strings.Contains(got, `"hops":[]`) {
		t.Errorf("no hops are not an empty list: %s", got)
	}
}

// What it shows is what run would present: for mail that a user of the upstream sent, not the user.
func TestExplainSubmission(t *testing.T) {
	file := writeMessage(t, "Received: from laptop (home.example.com [192.0.2.77])\r\n\tby mx.example.org (Postfix) with ESMTPSA id b2;\r\n\tMon, 15 Jan 2024 10:00:00 +0000\r\nSubject: x\r\n\r\n")
	opts := explainOptions{Files: []string{file}, MX: []string{"mx.example.org"}}
	text := explain(t, opts)
	if !strings.Contains(text, "client 192.0.2.77") || !strings.Contains(text, "  run presents a stand-in: a user logged in") || !strings.Contains(text, " ADDR=198.18.0.8\n") {
		t.Errorf("it does not say that a stand-in would be presented:\n%s", text)
	}
	opts.JSON = true
	if got := explain(t, opts); !strings.Contains(got, `"addr":"192.0.2.77"`) || !strings.Contains(got, ` ADDR=198.18.0.8"],"run":{"does":"present","why":"a user logged in`) {
		t.Errorf("the JSON object: %s", got)
	}
}

func TestExplainText(t *testing.T) {
	file := writeMessage(t, explained)
	opts := explainOptions{Files: []string{file}, MX: []string{"mx.example.org"}, Internal: []string{"store.example.org"}}
	const want = `FILE
  "hello"
  trusted    1  store.example.org with LMTP from 10.0.0.2 as mx.example.org [dovecot lmtp]
                 Received-SPF by mx.example.org says 192.0.2.10
> boundary   2  mx.example.org with ESMTPS from 192.0.2.10 (mail.example.com) as client?[31m.example [postfix smtp]
  untrusted  3  mx.example.org with ESMTP from 198.51.100.7 (good.example) as good.example [postfix smtp]
client 192.0.2.10, confirmed (client)
  mx.example.org received the message from 192.0.2.10: it is the first public peer of the provider's MX
  XCLIENT `
	got := explain(t, opts)
	if !strings.HasPrefix(got, strings.Replace(want, "FILE", file, 1)) || strings.Count(got, "XCLIENT") == 0 {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if strings.ContainsRune(got, 0x1b) {
		t.Error("without colours there is an escape: the message's")
	}
	opts.Color = true
	if got := explain(t, opts); !strings.Contains(got, "\x1b[32m> boundary") || strings.Contains(got, "\x1b[31m.example") {
		t.Errorf("with colours:\n%q", got)
	}
}

func TestExplainTellsTheUnparseable(t *testing.T) {
	file := writeMessage(t, "Received: from a (b [010.1.1.1]) by mx.example.org (Postfix) with ESMTP id 4; Mon, 15 Jan 2024 10:00:00 +0000\r\n\r\n")
	got := explain(t, explainOptions{Files: []string{file}})
	for _, w := range []string{"! refused", "doubtful spelling", "no client, by the policy auto (unparseable)", "  run presents a stand-in: the client is not known"} {
		if !strings.Contains(got, w) {
			t.Errorf("%q is missing in\n%s", w, got)
		}
	}
}

func TestExplainStdin(t *testing.T) {
	got := explain(t, explainOptions{Files: []string{"-"}, Stdin: strings.NewReader(explained), JSON: true, Hops: 2})
	if !strings.Contains(got, `"file":"-"`) || !strings.Contains(got, `"hop":2,`) {
		t.Errorf("got %s", got)
	}
}

// One file that cannot be read does not keep the others back.
func TestExplainMissingFile(t *testing.T) {
	file := writeMessage(t, explained)
	var out bytes.Buffer
	err := explainTo(context.Background(), &out, explainOptions{Files: []string{file + ".gone", file}, JSON: true})
	var usage *usageError
	if !errors.As(err, &usage) || !strings.Contains(err.Error(), file+".gone") {
		t.Errorf("the error is %v", err)
	}
	if strings.Count(out.String(), "\n") != 1 || !strings.Contains(out.String(), `"found":true`) {
		t.Errorf("got %s", &out)
	}
}

func TestExplainUsage(t *testing.T) {
	for name, opts := range map[string]explainOptions{
		"provider": {Provider: "nobody"},
		"network":  {InternalNets: []string{"10.0.0.0/99"}},
	} {
		var usage *usageError
		if err := explainTo(context.Background(), &bytes.Buffer{}, opts); !errors.As(err, &usage) {
			t.Errorf("%s: the error is %v, not one of usage", name, err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := explainTo(ctx, &bytes.Buffer{}, explainOptions{Files: []string{"-"}}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled, the error is %v", err)
	}
}

func TestExplainFlags(t *testing.T) {
	file := writeMessage(t, explained)
	for _, tt := range []struct {
		name string
		args []string
		want string
	}{
		{"auto", []string{"--json", "--", file}, `"hop":2,`},
		{"provider", []string{"--json", "--provider", "gmail", "--", file}, `"found":false`},
		{"hosts", []string{"--json", "--mx", "mx.example.org", "--internal", "store.example.org", "--", file}, `"hop":2,`},
		{"the wrong hosts", []string{"--json", "--mx", "mx.example.com", "--mx", "mx.example.net", "--", file}, `"found":false`},
		{"networks", []string{"--json", "--mx", "*.example.org", "--internal-net", "192.0.2.0/24", "--", file}, `"addr":"198.51.100.7","name":"good.example","helo":"good.example","port":null},"proto":"ESMTP"`},
		{"hops", []string{"--json", "--hops", "2", "--", file}, `"hop":2,`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			cmd := (&program{}).explainCommand()
			cmd.SetArgs(tt.args)
			cmd.SetOut(&out)
			if err := cmd.ExecuteContext(context.Background()); err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(out.String(), tt.want) {
				t.Errorf("%s is missing in %s", tt.want, &out)
			}
		})
	}
}
