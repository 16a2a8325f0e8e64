// SPDX-License-Identifier: Apache-2.0

package ship

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path"
	"strings"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// bucket is a bucket of S3, or of what speaks its protocol.
type bucket struct {
	client       *minio.Client
	name, prefix string // the prefix ends with a slash, or is empty
}

// openS3 takes keys from the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY) or
// from the file that AWS_SHARED_CREDENTIALS_FILE names, which nobody else may read.
func openS3(u *url.URL) (Sink, error) {
	for key := range u.Query() {
		if key != "endpoint" && key != "region" {
			return nil, fmt.Errorf("open sink: %q is not known in an address of S3; use endpoint and region", key)
		}
	}
	if u.User != nil {
		return nil, errors.New("open sink: an address has no keys; put them in the environment or in a file (AWS_SHARED_CREDENTIALS_FILE)")
	}
	at, err := url.Parse(cmp.Or(u.Query().Get("endpoint"), os.Getenv("AWS_ENDPOINT_URL"), "https://s3.amazonaws.com"))
	if err != nil || at.Host == "" || at.Scheme != "http" && at.Scheme != "https" {
		return nil, fmt.Errorf("open sink: endpoint %q is no http:// or https:// address", u.Query().Get("endpoint"))
	}
	keys := []credentials.Provider{&credentials.EnvAWS{}}
	if file := os.Getenv("AWS_SHARED_CREDENTIALS_FILE"); file != "" {
		st, err := os.Stat(file)
		if err != nil {
			return nil, fmt.Errorf("open sink: read keys: %w", err)
		}
		if st.Mode().Perm()&0o077 != 0 {
			return nil, fmt.Errorf("open sink: others may read %s (mode %04o); run chmod 600 on it", file, st.Mode().Perm())
		}
		keys = append(keys, &credentials.FileAWSCredentials{Filename: file})
	}
	client, err := minio.New(at.Host, &minio.Options{
		Creds: credentials.NewChainCredentials(keys), Secure: at.Scheme == "https", Region: cmp.Or(u.Query().Get("region"), os.Getenv("AWS_REGION")),
	})
	if err != nil {
		return nil, fmt.Errorf("open sink %s: %w", u.Redacted(), err)
	}
	prefix := strings.Trim(u.Path, "/")
	if prefix != "" {
		prefix += "/"
	}
	return &bucket{client, u.Host, prefix}, nil
}

// List lists what is in the bucket.
func (b *bucket) List(ctx context.Context, prefix string) (list []Object, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the listing
	for o := range b.client.ListObjects(ctx, b.name, minio.ListObjectsOptions{Prefix: b.prefix + prefix, Recursive: true}) {
		if o.Err != nil {
			return nil, b.failed("list", "", o.Err)
		}
		list = append(list, Object{Name: strings.TrimPrefix(o.Key, b.prefix), Size: o.Size})
	}
	return list, nil
}

// Get reads an object.
func (b *bucket) Get(ctx context.Context, name string) ([]byte, error) {
	o, err := b.client.GetObject(ctx, b.name, b.prefix+name, minio.GetObjectOptions{})
	if err != nil {
		return nil, b.failed("read", name, err)
	}
	defer o.Close()
	body, err := io.ReadAll(io.LimitReader(o, MaxFile+1))
	if err == nil && len(body) > MaxFile {
		err = fmt.Errorf("it has more than %d bytes", MaxFile)
	}
	if err != nil {
		return nil, b.failed("read", name, err)
	}
	return body, nil
}

// Put makes an object, unless there is one: the service refuses it then.
func (b *bucket) Put(ctx context.Context, name string, body []byte) error {
	o := minio.PutObjectOptions{ContentType: contentType(name)}
	o.SetMatchETagExcept("*")
	return b.put(ctx, name, body, o)
}

// Replace makes an object in the place of another.
func (b *bucket) Replace(ctx context.Context, name string, body []byte) error {
	return b.put(ctx, name, body, minio.PutObjectOptions{ContentType: contentType(name)})
}

func (b *bucket) put(ctx context.Context, name string, body []byte, o minio.PutObjectOptions) error {
	o.DisableMultipart = true // a condition is for one request
	_, err := b.client.PutObject(ctx, b.name, b.prefix+name, bytes.NewReader(body), int64(len(body)), o)
	if r := minio.ToErrorResponse(err); err != nil && (r.StatusCode == http.StatusPreconditionFailed || r.Code == "PreconditionFailed") {
		return fmt.Errorf("write to sink: %w", ErrThere)
	}
	if err != nil {
		return b.failed("write", name, err)
	}
	return nil
}

// Remove removes an object.
func (b *bucket) Remove(ctx context.Context, name string) error {
	if err := b.client.RemoveObject(ctx, b.name, b.prefix+name, minio.RemoveObjectOptions{}); err != nil {
		return b.failed("remove", name, err)
	}
	return nil
}

// failed names what failed, and its mend where there is one. It has no keys in it.
func (b *bucket) failed(verb, name string, err error) error {
	switch r := minio.ToErrorResponse(err); r.Code {
	case minio.NoSuchKey:
		err = fs.ErrNotExist
	case minio.NoSuchBucket:
		err = errors.New("there is no such bucket; make it first")
	case minio.AccessDenied, minio.InvalidAccessKeyID, minio.SignatureDoesNotMatch:
		err = fmt.Errorf("%s: give keys that may read and write it by AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_SHARED_CREDENTIALS_FILE", r.Code)
	}
	return fmt.Errorf("%s s3://%s: %w", verb, path.Join(b.name, b.prefix, name), err)
}

func contentType(name string) string {
	if strings.HasSuffix(name, ".json") {
		return "application/json"
	}
	return "application/vnd.apache.parquet"
}
