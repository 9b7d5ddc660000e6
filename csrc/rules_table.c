#include "check.h"

#include <string.h>

#define JSON "RFC 8259"
#define GUIDE "OpenAI, guides to fine-tuning"
#define API "OpenAI, API description 2.3.0 and the schemas of training data before it"
#define COOKBOOK "OpenAI cookbook, Chat_finetuning_data_prep"
#define TOGETHER "together-python, utils/files.py (2025-12)"
#define VISION "OpenAI and Azure, guides to vision fine-tuning"
#define OWN "finetune"

const ft_rule_info ft_rule_table[FT_RULE_COUNT] = {
#define ERROR FT_GRADE_ERROR
#define WARNING FT_GRADE_WARNING
#define OFF FT_GRADE_OFF
#define RULE(name, id, severity, means, hint, source) {id, severity, means, hint, source},
#include "rules_table.h"
};

int ft_rule_find(const char *id) {
  for (int i = 0; i < FT_RULE_COUNT; i++)
    if (strcmp(id, ft_rule_table[i].id) == 0)
      return i;
  return -1;
}
