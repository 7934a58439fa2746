package nebulaserver

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/vesoft-inc/nebula-go/v3/nebula"
	service "github.com/vesoft-inc/nebula-go/v3/nebula/graph"

	"github.com/outflow-db/outflow/internal/nebulaserver/exec"
	"github.com/outflow-db/outflow/internal/nebulaserver/graph"
	"github.com/outflow-db/outflow/internal/nebulaserver/value"
)

// handler serves one connection.
type handler struct {
	s    *Server
	conn net.Conn
}

var errCut = errors.New("the connection is cut")

// Authenticate begins a session.
func (h *handler) Authenticate(_ context.Context, name, password []byte) (*service.AuthResponse, error) {
	resp := service.NewAuthResponse()
	id, code, text := h.s.login(string(name), string(password), host(h.conn))
	if code != nebula.ErrorCode_SUCCEEDED {
		resp.ErrorCode, resp.ErrorMsg = code, []byte(text)
		return resp, nil
	}
	offset := int32(0)
	resp.SessionID, resp.TimeZoneOffsetSeconds, resp.TimeZoneName = &id, &offset, []byte("UTC")
	return resp, nil
}

// Signout ends a session.
func (h *handler) Signout(_ context.Context, id int64) error {
	h.s.Kill([]int64{id})
	return nil
}

// Execute runs statements.
func (h *handler) Execute(ctx context.Context, id int64, stmt []byte) (*service.ExecutionResponse, error) {
	return h.ExecuteWithParameter(ctx, id, stmt, nil)
}

// ExecuteWithParameter runs statements that may name parameters.
func (h *handler) ExecuteWithParameter(
	_ context.Context, id int64, stmt []byte, params map[string]*nebula.Value,
) (*service.ExecutionResponse, error) {
	begin := time.Now()
	resp, err := h.answer(id, string(stmt), params)
	if err != nil {
		_ = h.conn.Close() // this is the fault that was asked for
		return nil, err
	}
	resp.LatencyInUs = time.Since(begin).Microseconds()
	return resp, nil
}

func (h *handler) answer(id int64, stmt string, params map[string]*nebula.Value) (*service.ExecutionResponse, error) {
	sess, err := h.s.session(id)
	if err != nil {
		return failure(err, ""), nil
	}
	f := h.s.fault(stmt)
	if f.Delay > 0 {
		time.Sleep(f.Delay)
	}
	if f.Drop && !f.Execute {
		return nil, errCut
	}
	if f.Text != "" && !f.Execute {
		return failure(&graph.Error{Code: f.code(), Text: f.Text}, sess.space()), nil
	}
	resp := h.execute(sess, stmt, params)
	switch {
	case f.Drop:
		return nil, errCut
	case f.Text != "":
		return failure(&graph.Error{Code: f.code(), Text: f.Text}, sess.space()), nil
	}
	return resp, nil
}

// execute runs statements in a session, one request at a time.
func (h *handler) execute(sess *session, stmt string, params map[string]*nebula.Value) *service.ExecutionResponse {
	sess.busy.Lock()
	defer sess.busy.Unlock()
	h.s.note(stmt)
	c := &exec.Context{Store: h.s.store, Admin: h.s, User: sess.user, Space: sess.space(), Params: value.Map{}}
	for k, v := range params {
		c.Params[k] = value.FromWire(v)
	}
	t, err := exec.Run(c, stmt)
	sess.use(c.Space)
	if err != nil {
		return failure(err, c.Space)
	}
	resp := service.NewExecutionResponse()
	resp.SpaceName = []byte(c.Space)
	if t != nil {
		resp.Data = dataSet(t)
	}
	return resp
}

func failure(err error, space string) *service.ExecutionResponse {
	resp := service.NewExecutionResponse()
	resp.ErrorCode, resp.ErrorMsg, resp.SpaceName = nebula.ErrorCode_E_EXECUTION_ERROR, []byte(err.Error()), []byte(space)
	if e, ok := errors.AsType[*graph.Error](err); ok {
		resp.ErrorCode = e.Code
	}
	return resp
}

func dataSet(t *exec.Table) *nebula.DataSet {
	d := nebula.NewDataSet()
	for _, n := range t.Names {
		d.ColumnNames = append(d.ColumnNames, []byte(n))
	}
	for _, row := range t.Rows {
		w := &nebula.Row{Values: make([]*nebula.Value, len(row))}
		for i, v := range row {
			w.Values[i] = value.ToWire(v)
		}
		d.Rows = append(d.Rows, w)
	}
	return d
}

// ExecuteJson is not interpreted.
func (h *handler) ExecuteJson(context.Context, int64, []byte) ([]byte, error) {
	return nil, errors.New("not interpreted by this server: executeJson")
}

// ExecuteJsonWithParameter is not interpreted.
func (h *handler) ExecuteJsonWithParameter(context.Context, int64, []byte, map[string]*nebula.Value) ([]byte, error) {
	return nil, errors.New("not interpreted by this server: executeJsonWithParameter")
}

// VerifyClientVersion accepts every client.
func (h *handler) VerifyClientVersion(context.Context, *service.VerifyClientVersionReq) (*service.VerifyClientVersionResp, error) {
	return service.NewVerifyClientVersionResp(), nil
}
