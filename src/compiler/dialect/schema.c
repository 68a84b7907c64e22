#include "compiler/dialect/schema.h"

#include <math.h>
#include <string.h>

#include "compiler/mlir/text.h"

enum { MAX_FIELDS = 16 };

// Only the last operand of an op with one optional operand may be absent; with more of them, sizes of segments tell.
static bool has_segments(const op_schema *s)
{
    int n_optional = 0;
    for (int i = 0; i < s->n_fields; i++)
        n_optional += s->fields[i].kind == FIELD_OPERAND && s->fields[i].presence != REQUIRED;
    return n_optional > 1;
}

static bool is_attribute(const field *f) { return f->kind != FIELD_OPERAND && f->kind != FIELD_RESULT; }

bool schema_is(const op_schema *s, MlirOperation op)
{
    if (!op.ptr) return false;
    MlirStringRef name = mlirIdentifierStr(mlirOperationGetName(op));
    size_t n = strlen(s->name);
    return name.length == n + 3 && !memcmp(name.data, "wf.", 3) && !memcmp(name.data + 3, s->name, n);
}

// ---- reading

static int find_word(const field *f, MlirStringRef text)
{
    for (int i = 0; f->words[i]; i++)
        if (mlir_text_is(text, f->words[i])) return i + 1;
    return 0;
}

static void read_attribute(const field *f, MlirOperation op, void *at)
{
    MlirAttribute a = op_attribute(op, f->name);
    switch (f->kind) {
    case FIELD_INT: *(int64_t *)at = op_int(op, f->name, f->absent); break;
    case FIELD_FLOAT: *(double *)at = op_float(op, f->name, (double)f->absent); break;
    case FIELD_BOOL: *(bool *)at = op_bool(op, f->name); break;
    case FIELD_WORD: *(int *)at = find_word(f, op_string(op, f->name)); break;
    case FIELD_TEXT: *(MlirStringRef *)at = op_string(op, f->name); break;
    case FIELD_TYPE:
        if (a.ptr && mlirAttributeIsAType(a)) *(MlirType *)at = mlirTypeAttrGetValue(a);
        break;
    case FIELD_OPERAND:
    case FIELD_RESULT: break;
    }
}

bool schema_read(const op_schema *s, MlirOperation op, void *parts)
{
    memset(parts, 0, s->size);
    if (!schema_is(s, op)) return false;
    bool segments = has_segments(s);
    int n_operands = 0, n_results = 0;
    for (int i = 0; i < s->n_fields; i++) {
        const field *f = &s->fields[i];
        void *at = (char *)parts + f->at;
        if (f->kind == FIELD_OPERAND) {
            int64_t index = n_operands++;
            bool present = segments ? op_segment(op, (int)index, &index) > 0 : index < mlirOperationGetNumOperands(op);
            if (present) *(MlirValue *)at = mlirOperationGetOperand(op, index);
        } else if (f->kind == FIELD_RESULT) {
            MlirValue v = mlirOperationGetResult(op, n_results++);
            *(op_result *)at = (op_result){mlirValueGetType(v), v};
        } else {
            read_attribute(f, op, at);
        }
    }
    return true;
}

// ---- writing

// The attribute for what is `at`; one without an attribute: absent.
static MlirNamedAttribute write_attribute(const field *f, op_builder *b, const void *at)
{
    bool whole = f->presence != OPTIONAL;
    MlirNamedAttribute none = {0};
    switch (f->kind) {
    case FIELD_INT: {
        int64_t n = *(const int64_t *)at;
        return whole || n != f->absent ? named_int(b, f->name, n) : none;
    }
    case FIELD_FLOAT: {
        double x = *(const double *)at;
        return whole || x != (double)f->absent ? named_float(b, f->name, x) : none;
    }
    case FIELD_BOOL: {
        bool yes = *(const bool *)at;
        return whole || yes ? named_bool(b, f->name, yes) : none;
    }
    case FIELD_WORD: {
        int word = *(const int *)at;
        return word ? named_string(b, f->name, f->words[word - 1]) : none;
    }
    case FIELD_TEXT: {
        MlirStringRef text = *(const MlirStringRef *)at;
        return mlirNamedAttributeGet(mlirIdentifierGet(b->ctx, mlir_text(f->name)), mlirStringAttrGet(b->ctx, text));
    }
    case FIELD_TYPE: {
        MlirType type = *(const MlirType *)at;
        return type.ptr ? named_type(b, f->name, type) : none;
    }
    case FIELD_OPERAND:
    case FIELD_RESULT: break;
    }
    return none;
}

MlirValue schema_write(const op_schema *s, op_builder *b, void *parts)
{
    MlirValue operands[MAX_FIELDS];
    MlirNamedAttribute attributes[MAX_FIELDS];
    MlirType types[MAX_FIELDS];
    int32_t segments[MAX_FIELDS];
    int n_operands = 0, n_segments = 0, n_attributes = 0, n_results = 0;
    for (int i = 0; i < s->n_fields; i++) {
        const field *f = &s->fields[i];
        const void *at = (char *)parts + f->at;
        if (f->kind == FIELD_OPERAND) {
            MlirValue v = *(const MlirValue *)at;
            segments[n_segments++] = v.ptr != NULL;
            if (v.ptr) operands[n_operands++] = v;
        } else if (f->kind == FIELD_RESULT) {
            types[n_results++] = ((const op_result *)at)->type;
        } else {
            attributes[n_attributes] = write_attribute(f, b, at);
            n_attributes += attributes[n_attributes].attribute.ptr != NULL;
        }
    }
    if (has_segments(s)) attributes[n_attributes++] = named_segments(b, n_segments, segments);
    char name[64] = "wf.";
    strncat(name, s->name, sizeof name - 4);
    MlirOperation op = build_op(b, name, n_results, types, n_operands, operands, n_attributes, attributes);
    int r = 0;
    for (int i = 0; i < s->n_fields; i++)
        if (s->fields[i].kind == FIELD_RESULT)
            ((op_result *)(void *)((char *)parts + s->fields[i].at))->value = mlirOperationGetResult(op, r++);
    return mlirOperationGetResult(op, n_results - 1);
}

// ---- verifying

static wf_status verify_attribute(const field *f, MlirOperation op, wf_error *err)
{
    MlirAttribute a = op_attribute(op, f->name);
    if (!a.ptr) {
        if (f->presence == REQUIRED) REJECT("has no attribute \"%s\"", f->name);
        return WF_OK;
    }
    switch (f->kind) {
    case FIELD_INT: {
        if (!mlirAttributeIsAInteger(a) || mlirAttributeIsABool(a)) REJECT("%s is no integer", f->name);
        MlirType t = mlirAttributeGetType(a);
        bool small = mlirTypeIsAIndex(t) || (mlirIntegerTypeIsSignless(t) && mlirIntegerTypeGetWidth(t) <= 64);
        if (!small) REJECT("%s is no integer of up to 64 bits", f->name);
        break;
    }
    case FIELD_FLOAT:
        if (!mlirAttributeIsAFloat(a)) REJECT("%s is no floating-point number", f->name);
        return verify_finite(mlirFloatAttrGetValueDouble(a), f->name, err);
    case FIELD_BOOL:
        if (!mlirAttributeIsABool(a)) REJECT("%s is neither true nor false", f->name);
        break;
    case FIELD_WORD: {
        MlirStringRef text = op_string(op, f->name);
        if (!mlirAttributeIsAString(a)) REJECT("%s is no string", f->name);
        if (!find_word(f, text)) REJECT("%s \"%.*s\" is not known", f->name, (int)text.length, text.data);
        break;
    }
    case FIELD_TEXT:
        if (!mlirAttributeIsAString(a)) REJECT("%s is no string", f->name);
        break;
    case FIELD_TYPE:
        if (!mlirAttributeIsAType(a)) REJECT("%s is no type", f->name);
        break;
    case FIELD_OPERAND:
    case FIELD_RESULT: break;
    }
    return WF_OK;
}

// An attribute that no field has is a mistake, unless it is one of another dialect, or a mark of ours: these have dots.
static wf_status verify_known(const op_schema *s, MlirStringRef name, wf_error *err)
{
    bool known = memchr(name.data, '.', name.length) || (has_segments(s) && mlir_text_is(name, "operandSegmentSizes"));
    for (int i = 0; i < s->n_fields && !known; i++)
        known = is_attribute(&s->fields[i]) && mlir_text_is(name, s->fields[i].name);
    if (!known) REJECT("an attribute \"%.*s\" is not known", (int)name.length, name.data);
    return WF_OK;
}

static wf_status verify_operands(const op_schema *s, MlirOperation op, wf_error *err)
{
    int least = 0, most = 0, n_results = 0;
    bool segments = has_segments(s);
    MlirAttribute sizes = op_attribute(op, "operandSegmentSizes");
    for (int i = 0; i < s->n_fields; i++) {
        most += s->fields[i].kind == FIELD_OPERAND;
        least += s->fields[i].kind == FIELD_OPERAND && s->fields[i].presence == REQUIRED;
        n_results += s->fields[i].kind == FIELD_RESULT;
    }
    intptr_t n = mlirOperationGetNumOperands(op);
    if (n < least || n > most) REJECT("has %zd operands, not %d to %d", n, least, most);
    if (mlirOperationGetNumResults(op) != n_results) REJECT("has %zd results", mlirOperationGetNumResults(op));
    if (!segments) return WF_OK;
    if (!sizes.ptr || !mlirAttributeIsADenseI32Array(sizes) || mlirDenseArrayGetNumElements(sizes) != most)
        REJECT("operandSegmentSizes are not %d numbers", most);
    intptr_t sum = 0;
    for (int i = 0; i < most; i++) {
        int32_t size = mlirDenseI32ArrayGetElement(sizes, i);
        if (size < (s->fields[i].presence == REQUIRED) || size > 1)
            REJECT("%s is there %d times", s->fields[i].name, size);
        sum += size;
    }
    if (sum != n) REJECT("operandSegmentSizes do not add up to the operands");
    return WF_OK;
}

wf_status schema_verify(const op_schema *s, MlirOperation op, wf_error *err)
{
    TRY(verify_operands(s, op, err));
    for (intptr_t i = 0; i < mlirOperationGetNumAttributes(op); i++)
        TRY(verify_known(s, mlirIdentifierStr(mlirOperationGetAttribute(op, i).name), err));
    for (int i = 0; i < s->n_fields; i++)
        if (is_attribute(&s->fields[i])) TRY(verify_attribute(&s->fields[i], op, err));
    union {
        norm_op norm;
        linear_op linear;
        attention_op attention;
        rope_store_op store;
    } parts; // the largest structs
    if (s->size > sizeof parts) return error_memory(err, s->size);
    schema_read(s, op, &parts);
    for (int i = 0; i < s->n_fields; i++) {
        const field *f = &s->fields[i];
        const void *at = (char *)&parts + f->at;
        if (is_attribute(f)) continue;
        MlirValue v = f->kind == FIELD_OPERAND ? *(const MlirValue *)at : ((const op_result *)at)->value;
        if (v.ptr && rank_of(v) < 0) REJECT("%s is no tensor of known rank", f->name);
    }
    return s->verify(&parts, err);
}

wf_status verify_floats(MlirValue v, const char *name, bool q8, wf_error *err)
{
    MlirType t = element_type_of(v);
    if (!mlirTypeIsAFloat(t) && !(q8 && is_wf_type(t, "q8"))) REJECT("%s is no tensor of floats", name);
    return WF_OK;
}

wf_status verify_same_shape(MlirValue a, const char *a_name, MlirValue b, const char *b_name, wf_error *err)
{
    if (rank_of(a) != rank_of(b)) REJECT("%s has %d dimensions, %s has %d", a_name, rank_of(a), b_name, rank_of(b));
    for (int d = 0; d < rank_of(a); d++)
        if (!sizes_agree(dim_of(a, d), dim_of(b, d)))
            REJECT("dimension %d is %lld in %s, %lld in %s", d, (long long)dim_of(a, d), a_name,
                   (long long)dim_of(b, d), b_name);
    return WF_OK;
}

wf_status verify_finite(double x, const char *name, wf_error *err)
{
    if (!isfinite(x)) REJECT("%s is not finite", name);
    return WF_OK;
}

int64_t count_elements_of(MlirValue v, int from, int to)
{
    int64_t n = 1;
    for (int d = from; d < to; d++)
        if (dim_of(v, d) < 0 || __builtin_mul_overflow(n, dim_of(v, d), &n)) return -1;
    return n;
}

int64_t last_size(MlirValue v) { return dim_of(v, rank_of(v) - 1); }

// ---- the declaration

// Each operand and result may be of a type of its own. A variadic operand would force all its values to one type, so
// every weight of a linear has its own. Attributes are checked here alone (verify_attribute): IRDL cannot say that one
// may be absent, and does not name the one that is wrong.
void schema_declare(const op_schema *s, buffer *irdl)
{
    static const struct {
        field_kind kind;
        const char *name;
    } LISTS[] = {{FIELD_OPERAND, "operands"}, {FIELD_RESULT, "results"}};
    buffer_printf(irdl, "  irdl.operation @%s {\n", s->name);
    for (int i = 0; i < s->n_fields; i++) buffer_printf(irdl, "    %%c%d = irdl.base \"!builtin.tensor\"\n", i);
    for (size_t l = 0; l < sizeof LISTS / sizeof *LISTS; l++) {
        int n = 0;
        for (int i = 0; i < s->n_fields; i++) {
            const field *f = &s->fields[i];
            if (f->kind != LISTS[l].kind) continue;
            if (!n++)
                buffer_printf(irdl, "    irdl.%s(", LISTS[l].name);
            else
                buffer_printf(irdl, ", ");
            buffer_printf(irdl, "%s: %s%%c%d", f->name, f->presence == REQUIRED ? "" : "optional ", i);
        }
        if (n) buffer_printf(irdl, ")\n");
    }
    buffer_printf(irdl, "  }\n");
}

void schema_list(const op_schema *s, buffer *out)
{
    static const char *const KINDS[] = {
        [FIELD_INT] = "int", [FIELD_FLOAT] = "float", [FIELD_BOOL] = "bool",
        [FIELD_WORD] = NULL, [FIELD_TEXT] = "string", [FIELD_TYPE] = "type",
    };
    buffer_printf(out, "wf.%s(", s->name);
    field_kind before = FIELD_OPERAND;
    int n = 0;
    for (int i = 0; i < s->n_fields; i++) {
        const field *f = &s->fields[i];
        field_kind list = is_attribute(f) ? FIELD_INT : f->kind;
        if (list != before) buffer_printf(out, "%s", list == FIELD_RESULT ? ") -> " : " {");
        buffer_printf(out, "%s%s%s", n && list == before ? ", " : "", f->name, f->presence == REQUIRED ? "" : "?");
        if (list == FIELD_INT && f->kind != FIELD_WORD) buffer_printf(out, ": %s", KINDS[f->kind]);
        for (int w = 0; f->kind == FIELD_WORD && f->words[w]; w++)
            buffer_printf(out, "%s%s", w ? " | " : ": ", f->words[w]);
        before = list;
        n++;
    }
    buffer_printf(out, "%s\n", before == FIELD_INT ? "}" : "");
}
