package vault

import (
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/gofiber/fiber/v2"

	"github.com/realmgate/realmgate/pkg/api"
	"github.com/realmgate/realmgate/pkg/apperr"
	"github.com/realmgate/realmgate/pkg/httpx"
	"github.com/realmgate/realmgate/pkg/input"
	"github.com/realmgate/realmgate/pkg/internalapi"
	"github.com/realmgate/realmgate/pkg/quota"
	"github.com/realmgate/realmgate/vault-svc/internal/memory"
	"github.com/realmgate/realmgate/vault-svc/internal/precondition"
	"github.com/realmgate/realmgate/vault-svc/internal/sealing"
)

const batchPath = "/api/v1/vault/batch"

// maxOperations is the most operations of a batch, and maxWarnings the most warnings of an answer.
const (
	maxOperations = 100
	maxWarnings   = 20
)

func (h *handler) batch(c *fiber.Ctx) error {
	s, err := h.readScope(c)
	if err != nil {
		return err
	}
	reserved := h.memory.For(s.user)
	if err = h.batchHolding(c, s, reserved); err != nil {
		reserved.Release()
	}
	return err
}

func (h *handler) batchHolding(c *fiber.Ctx, s scope, reserved *memory.Reservation) error {
	body, err := readBody(c, reserved, quota.BodyLimit(s.quota, h.maxBodyMB))
	if err != nil {
		return err
	}
	o, err := input.ParseFields(body, "atomic", "operations")
	if err != nil {
		return err
	}
	httpx.HasRead(c, o)
	b, warnings, err := parseBatch(s, o, h.now())
	if err != nil {
		return err
	}
	ok, err := h.vault.RunBatch(c.UserContext(), b, reserved)
	if err != nil {
		return err
	}
	if !ok {
		reserved.Release()
		return answerFailedBatch(c, b)
	}
	return answerBatch(c, b, warnings, reserved)
}

// parseBatch reads the fields of a batch. Values may point into the body. The error names the
// fields of all operations that break a rule.
func parseBatch(s scope, o *input.Object, now time.Time) (*Batch, []string, error) {
	b := &Batch{User: s.user, Quota: s.quota, Atomic: true}
	o.DropNull("atomic")
	if atomic, ok := o.Bool("atomic"); ok {
		b.Atomic = atomic
	}
	if !o.Has("operations") {
		o.Fail("operations", "is required")
	}
	elements, _ := o.Array("operations", 1, maxOperations)
	faults, warnings := o.Violated(), o.Warnings()
	for i, raw := range elements {
		one, err := input.ParseFieldsAt("/operations/"+strconv.Itoa(i), raw, "op", "key", "value", "metadata",
			"expires_at", "ttl", "if_match", "if_none_match", "recoverable")
		if err != nil {
			faults = append(faults, apperr.From(err).Violations...)
			continue
		}
		b.Operations = append(b.Operations, parseOperation(s, one, now))
		faults, warnings = append(faults, one.Violated()...), append(warnings, one.Warnings()...)
	}
	if len(faults) > 0 {
		return nil, nil, apperr.Validation(faults...)
	}
	return b, warnings[:min(len(warnings), maxWarnings)], nil
}

// parseOperation reads the fields of one operation. Broken rules are in o.
func parseOperation(s scope, o *input.Object, now time.Time) *Operation {
	op := &Operation{Write: Write{Ref: sealing.Ref{User: s.user, Realm: s.realm}}}
	o.DropNull("if_match", "if_none_match", "recoverable")
	kind, ok := o.Text("op")
	switch op.Kind = opKind(kind); {
	case !o.Has("op"):
		o.Fail("op", "is required")
	case ok && op.Kind != opGet && op.Kind != opPut && op.Kind != opDelete:
		o.Fail("op", "must be get, put or delete")
	}
	if op.Key, ok = o.Text("key"); ok {
		for _, v := range apperr.From(checkKey(op.Key)).Violations {
			o.Fail("key", v.Message)
		}
	} else if !o.Has("key") {
		o.Fail("key", "is required")
	}
	if op.Kind == opPut {
		op.Write, op.Quoted, _ = parseWrite(op.Ref, o, now)
	} else {
		o.DropNull("value", "metadata", "expires_at", "ttl")
	}
	if op.Kind == opDelete {
		op.Recoverable, _ = o.Bool("recoverable")
	}
	op.If = parseConditions(o)
	op.Forbidden = s.keys.ReadOnly && op.Kind != opGet || !s.keys.Covers(op.Key)
	return op
}

// parseConditions reads the conditions of an operation, which are written as in the headers.
func parseConditions(o *input.Object) precondition.Conditions {
	given := map[string][]string{}
	for field, header := range map[string]string{"if_match": fiber.HeaderIfMatch,
		"if_none_match": fiber.HeaderIfNoneMatch} {
		text, ok := o.Text(field)
		if !ok {
			continue
		}
		given[header] = []string{text}
		if _, err := precondition.Parse(func(name string) []string {
			if name == header {
				return []string{text}
			}
			return nil
		}); err != nil {
			o.Fail(field, `must be * or a list of entity tags such as "abc", with the quotes`)
			return precondition.Conditions{}
		}
	}
	conditions, _ := precondition.Parse(func(name string) []string { return given[name] })
	return conditions
}

// appendResults appends the data of a batch to parts. Large values are parts of their own, without
// a copy.
func appendResults(parts [][]byte, b *Batch) ([][]byte, error) {
	buf := append([]byte(nil), `{"results":[`...)
	for i, o := range b.Operations {
		if i > 0 {
			buf = append(buf, ',')
		}
		buf = strconv.AppendInt(append(append(append(buf, `{"key":"`...), o.Key...), `","status":`...), int64(o.Status), 10)
		if o.Info != nil {
			buf = appendItemHead(append(buf, `,"item":`...), *o.Info)
			buf = append(buf, `"value":`...)
			if len(o.Quoted) > smallBody {
				parts, buf = append(parts, buf, o.Quoted), nil
			} else {
				buf = append(buf, o.Quoted...)
			}
			buf = appendItemTail(append(buf, ','), *o.Info)
			buf = append(buf[:len(buf)-1], `,"etag":`...)
			var err error
			if buf, err = jsontext.AppendQuote(buf, o.Info.ETag); err != nil {
				return nil, err
			}
			buf = append(buf, '}')
		}
		if o.Err != nil {
			failure, err := api.Marshal(failureOf(o.Err))
			if err != nil {
				return nil, err
			}
			buf = append(append(buf, ','), failure[1:len(failure)-1]...)
		}
		buf = append(buf, '}')
	}
	return append(parts, append(buf, "]}"...)), nil
}

// operationFailure are the fields of a result that tell why an operation failed.
type operationFailure struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

func failureOf(e *apperr.Error) operationFailure {
	if len(e.Violations) > 0 {
		return operationFailure{e.Code, e.Violations[0].InstancePath[1:] + " " + e.Violations[0].Message}
	}
	return operationFailure{e.Code, e.Message}
}

// answerBatch sends the results of a batch that took effect.
func answerBatch(c *fiber.Ctx, b *Batch, warnings []string, reserved *memory.Reservation) error {
	list, err := listOperations(b)
	if err != nil {
		return err
	}
	n := len(list)
	parts, err := appendResults([][]byte{appendEnvelope(list, http.StatusOK, "Vault batch completed")}, b)
	if err != nil {
		return err
	}
	end, err := envelopeEnd(warnings)
	if err != nil {
		return err
	}
	parts = append(parts, end)
	c.Set(internalapi.OperationsHeader, strconv.Itoa(n))
	if reserved.Size() == 0 {
		parts = [][]byte{slices.Concat(parts...)}
	}
	return answer(c, http.StatusOK, reserved, parts...)
}

// answerFailedBatch answers 409 BATCH_FAILED with the results.
func answerFailedBatch(c *fiber.Ctx, b *Batch) error {
	parts, err := appendResults(nil, b)
	if err != nil {
		return err
	}
	failed := apperr.New(apperr.Conflict, "BATCH_FAILED", "An operation failed, and nothing was changed").
		WithData(jsontext.Value(slices.Concat(parts...)))
	list, err := listOperations(b)
	if err != nil {
		return err
	}
	if err := c.App().ErrorHandler(c, failed); err != nil {
		return err
	}
	c.Set(internalapi.OperationsHeader, strconv.Itoa(len(list)))
	c.Response().SetBodyRaw(slices.Concat(list, c.Response().Body()))
	return nil
}

// listOperations returns the list of operations for the gateway, which precedes the body of the
// answer.
func listOperations(b *Batch) ([]byte, error) {
	methods := map[opKind]string{opGet: fiber.MethodGet, opPut: fiber.MethodPut, opDelete: fiber.MethodDelete}
	list := make([]internalapi.Operation, len(b.Operations))
	for i, o := range b.Operations {
		list[i] = internalapi.Operation{Method: methods[o.Kind], Path: "/api/v1/vault/keys/" + o.Key, Status: o.Status}
	}
	return api.Marshal(list)
}
