import erp.ids
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
    ]

    operations = [
        migrations.CreateModel(
            name='RequestCount',
            fields=[
                ('id', models.UUIDField(default=erp.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('day', models.DateField()),
                ('status_class', models.CharField(max_length=3)),
                ('count', models.BigIntegerField(default=0)),
            ],
            options={
                'abstract': False,
                'default_permissions': (),
                'constraints': [models.UniqueConstraint(fields=('day', 'status_class'), name='request_count_once'), models.CheckConstraint(condition=models.Q(('count__gte', 0)), name='request_count_rises')],
            },
        ),
    ]
